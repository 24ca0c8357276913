//! Reading a pattern.

/// Greatest count in braces.
const MAX_COUNT: usize = 255;
/// Deepest nesting of groups.
const MAX_DEPTH: usize = 100;

/// A set of characters.
#[derive(Debug, Clone)]
pub(super) struct Class {
    ranges: Vec<(char, char)>,
    negated: bool,
}

impl Class {
    /// Whether it has the character, or, where case does not count, its other case.
    pub(super) fn has(&self, c: char, fold: bool) -> bool {
        let within = |c: char| {
            self.ranges
                .iter()
                .any(|(low, high)| (*low..=*high).contains(&c))
        };
        let found = within(c)
            || (fold && (within(c.to_ascii_lowercase()) || within(c.to_ascii_uppercase())));
        found != self.negated
    }

    fn of(c: char) -> Class {
        Class {
            ranges: vec![(c, c)],
            negated: false,
        }
    }
}

/// A part of a pattern.
#[derive(Debug)]
pub(super) enum Node {
    One(Class),
    Begin,
    Finish,
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat {
        node: Box<Node>,
        least: usize,
        most: Option<usize>,
    },
}

/// A pattern.
pub(super) struct Parsed {
    pub(super) root: Node,
    /// Asks what is a letter, a digit or a blank.
    pub(super) has_classes: bool,
}

/// `None` for a pattern with anything that is not common to all dialects, or that is none.
pub(super) fn parse(pattern: &str) -> Option<Parsed> {
    if pattern.starts_with("***") || pattern.starts_with("(?") && !pattern.starts_with("(?:") {
        return None;
    }
    let mut reader = Reader {
        rest: pattern,
        depth: 0,
        has_classes: false,
    };
    let root = reader.alternatives()?;
    reader.rest.is_empty().then_some(Parsed {
        root,
        has_classes: reader.has_classes,
    })
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
    has_classes: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn alternatives(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut branches = vec![self.sequence()?];
        while self.take("|") {
            branches.push(self.sequence()?);
        }
        self.depth -= 1;
        Some(Node::Alternatives(branches))
    }

    fn sequence(&mut self) -> Option<Node> {
        let mut parts = Vec::new();
        while let Some(c) = self.peek().filter(|c| !matches!(c, '|' | ')')) {
            self.next();
            let atom = match c {
                '^' => Node::Begin,
                '$' => Node::Finish,
                '.' => Node::One(Class {
                    ranges: Vec::new(),
                    negated: true,
                }),
                '(' => self.group()?,
                '[' => Node::One(self.bracket()?),
                '\\' => Node::One(self.escape()?),
                '*' | '+' | '?' | '{' => return None,
                c => Node::One(Class::of(c)),
            };
            let counted = self.count(atom)?;
            parts.push(counted);
        }
        Some(Node::Sequence(parts))
    }

    fn group(&mut self) -> Option<Node> {
        if !self.take("?:") && self.peek() == Some('?') {
            return None;
        }
        let inner = self.alternatives()?;
        self.take(")").then_some(inner)
    }

    fn count(&mut self, atom: Node) -> Option<Node> {
        let (least, most) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                let body = &self.rest[1..self.rest.find('}')?];
                let (least, most) = body
                    .split_once(',')
                    .map_or((body, Some(body)), |(least, most)| {
                        (least, (!most.is_empty()).then_some(most))
                    });
                let number = |text: &str| {
                    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                    text.parse::<usize>()
                        .ok()
                        .filter(|number| digits && *number <= MAX_COUNT)
                };
                let least = number(least)?;
                let most = match most {
                    Some(most) => Some(number(most).filter(|most| *most >= least)?),
                    None => None,
                };
                self.rest = &self.rest[self.rest.find('}')?..];
                (least, most)
            }
            _ => return Some(atom),
        };
        self.next();
        // A question mark asks for the shortest match, which is a match all the same.
        self.take("?");
        let repeated_again = self
            .peek()
            .is_some_and(|c| matches!(c, '*' | '+' | '?' | '{'));
        if repeated_again || matches!(atom, Node::Begin | Node::Finish) {
            return None;
        }
        Some(Node::Repeat {
            node: Box::new(atom),
            least,
            most,
        })
    }

    fn escape(&mut self) -> Option<Class> {
        let c = self.next()?;
        let named = |ranges: &[(char, char)], negated| Class {
            ranges: ranges.to_vec(),
            negated,
        };
        let blank = [(' ', ' '), ('\t', '\r')];
        let word = [('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')];
        self.has_classes |= matches!(c, 'd' | 'D' | 's' | 'S' | 'w' | 'W');
        Some(match c {
            'd' | 'D' => named(&[('0', '9')], c == 'D'),
            's' | 'S' => named(&blank, c == 'S'),
            'w' | 'W' => named(&word, c == 'W'),
            'n' => Class::of('\n'),
            't' => Class::of('\t'),
            'r' => Class::of('\r'),
            c if c.is_ascii_punctuation() => Class::of(c),
            _ => return None,
        })
    }

    /// After the opening bracket.
    fn bracket(&mut self) -> Option<Class> {
        let negated = self.take("^");
        let mut ranges = Vec::new();
        loop {
            let low = self.next()?;
            match low {
                ']' if !ranges.is_empty() => return Some(Class { ranges, negated }),
                // Named classes, collating elements, and escapes.
                '[' | '\\' => return None,
                _ => {}
            }
            let is_range = self.peek() == Some('-') && !self.rest[1..].starts_with(']');
            if !is_range {
                ranges.push((low, low));
                continue;
            }
            self.next();
            let high = self.next()?;
            // Beyond ASCII the order of a range is the locale's.
            if matches!(high, '[' | '\\' | '-')
                || low == '-'
                || !low.is_ascii()
                || !high.is_ascii()
                || low > high
            {
                return None;
            }
            ranges.push((low, high));
        }
    }
}
