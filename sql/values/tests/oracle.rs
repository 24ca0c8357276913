//! Answers of a real PostgreSQL (15, locale C.UTF-8), recorded by `record.py` for the lines of `expressions.txt`: every one is given here too, type, text and
//! error alike, or refused as unserved (SQLSTATE 0A000). What is refused is counted, so that it cannot grow unnoticed.

use crossfade_values::{
    Error, Oid, Result, Session, Type, Types, Value, aggregate, cast,
    cast::Context,
    format, oid,
    resolve::{self, Callable, Scope},
};

/// How many of the recorded expressions are refused.
const UNSERVED: usize = 135;

struct Evaluator {
    types: Types,
    session: Session,
}

fn named(name: &str, types: &Types) -> Type {
    let (name, suffix) = name
        .strip_suffix("[]")
        .map_or((name, ""), |name| (name, "[]"));
    let (base, rest) = name.split_once('(').unwrap_or((name, ""));
    let modifiers: Vec<i32> = rest
        .trim_end_matches(')')
        .split(',')
        .filter_map(|part| part.parse().ok())
        .collect();
    let found = match base {
        "\"char\"" => Some(Type::of(oid::CHAR)),
        "char" => format::type_by_name(None, &format!("bpchar{suffix}"), &modifiers, types)
            .expect("the recorded expressions are well-formed"),
        "interval" if modifiers.len() == 1 => {
            format::type_by_name(None, base, &[0x7fff, modifiers[0]], types)
                .expect("the recorded expressions are well-formed")
        }
        "interval year" => format::type_by_name(None, "interval", &[1 << 2], types)
            .expect("the recorded expressions are well-formed"),
        "interval day to minute" => {
            format::type_by_name(None, "interval", &[(1 << 3) | (1 << 10) | (1 << 11)], types)
                .expect("the recorded expressions are well-formed")
        }
        base => format::type_by_name(None, &format!("{base}{suffix}"), &modifiers, types)
            .expect("the recorded expressions are well-formed"),
    };
    found.unwrap_or_else(|| panic!("no type {name}"))
}

impl Evaluator {
    /// A literal, cast to its type.
    fn value(&self, ty: &str, text: &str) -> Result<(Oid, Value)> {
        let ty = named(ty, &self.types);
        if text == "\\N" {
            return Ok((ty.oid, Value::Null));
        }
        let value = cast::cast(
            Value::text(text),
            oid::UNKNOWN,
            ty,
            Context::Explicit,
            &self.types,
            &self.session,
        )?;
        Ok((ty.oid, value))
    }

    fn values(&self, fields: &[&str]) -> Result<Vec<(Oid, Value)>> {
        fields
            .chunks_exact(2)
            .map(|pair| self.value(pair[0], pair[1]))
            .collect()
    }

    fn call(&self, callable: &Callable, args: Vec<(Oid, Value)>) -> Result<(Oid, Value)> {
        let values = args
            .into_iter()
            .zip(&callable.args)
            .map(|((from, value), to)| {
                cast::cast(
                    value,
                    from,
                    Type::of(*to),
                    Context::Implicit,
                    &self.types,
                    &self.session,
                )
            });
        let values = values.collect::<Result<Vec<_>>>()?;
        if callable.strict && values.iter().any(Value::is_null) {
            return Ok((callable.result, Value::Null));
        }
        let scope = Scope {
            args: &callable.args,
            result: callable.result,
            types: &self.types,
            session: &self.session,
        };
        Ok((callable.result, (callable.call)(scope, &values)?))
    }

    fn evaluate(&self, fields: &[&str]) -> Result<(Oid, Value)> {
        let types = |args: &[(Oid, Value)]| args.iter().map(|(ty, _)| *ty).collect::<Vec<_>>();
        match fields {
            ["in", ty, text] => self.value(ty, text),
            ["cast", from, text, to] => {
                let (from, value) = self.value(from, text)?;
                let to = named(to, &self.types);
                Ok((
                    to.oid,
                    cast::cast(
                        value,
                        from,
                        to,
                        Context::Explicit,
                        &self.types,
                        &self.session,
                    )?,
                ))
            }
            ["op", name, args @ ..] => {
                let args = self.values(args)?;
                self.call(
                    &resolve::operator(name, Some(args[0].0), args[1].0, &self.types)?,
                    args,
                )
            }
            ["un", name, args @ ..] => {
                let args = self.values(args)?;
                self.call(
                    &resolve::operator(name, None, args[0].0, &self.types)?,
                    args,
                )
            }
            ["fn", name, args @ ..] => {
                let args = self.values(args)?;
                self.call(
                    &resolve::function(name, &types(&args), false, &self.types)?,
                    args,
                )
            }
            ["agg", name, ty, rows @ ..] => self.aggregate(name, ty, rows),
            other => panic!("not an expression: {other:?}"),
        }
    }

    fn aggregate(&self, name: &str, ty: &str, rows: &[&str]) -> Result<(Oid, Value)> {
        let from = named(ty, &self.types).oid;
        let found = aggregate::aggregate(name, &[from], &self.types)?;
        let scope = Scope {
            args: &found.args,
            result: found.result,
            types: &self.types,
            session: &self.session,
        };
        let mut state = (found.begin)();
        for row in rows {
            let (_, value) = self.value(ty, row)?;
            let to = Type::of(found.args[0]);
            state.take(
                scope,
                &[cast::cast(
                    value,
                    from,
                    to,
                    Context::Implicit,
                    &self.types,
                    &self.session,
                )?],
            )?;
        }
        Ok((found.result, state.finish(scope)?))
    }

    /// As `record.py` writes it.
    fn answer(&self, fields: &[&str]) -> std::result::Result<String, Error> {
        let (ty, value) = self.evaluate(fields)?;
        let name = format::type_name(Type::of(ty), &self.types);
        let mut text = Vec::new();
        match value {
            Value::Null => text.extend(b"\\N"),
            value => format::print(ty, &value, &self.types, &self.session, &mut text),
        }
        Ok(format!(
            "{name}\t{}",
            String::from_utf8(text)
                .expect("the recorded expressions are well-formed")
                .replace('\n', "\\n")
        ))
    }
}

fn is_unserved(error: &Error) -> bool {
    error.sqlstate == "0A000" && error.message.ends_with("is not served on documents")
}

/// As `record.py` writes it.
fn shown(error: &Error) -> String {
    let mut out = format!("!{}\t{}", error.sqlstate, error.message);
    let more = [("DETAIL", &error.detail), ("HINT", &error.hint)];
    for (name, text) in more
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.as_ref()?)))
    {
        out.push_str(&format!("\t{name} {text}"));
    }
    out.replace('\n', "\\n")
}

/// Every value that could be read comes back from its binary form.
#[test]
fn binary_forms_come_back() {
    let evaluator = Evaluator {
        types: Types::default(),
        session: Session::default(),
    };
    let (types, session) = (&evaluator.types, &evaluator.session);
    let mut checked = 0;
    for line in include_str!("expressions.txt").lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let ["in", ty, text] = fields.as_slice() else {
            continue;
        };
        let Ok((oid, value)) = evaluator.value(ty, &text.replace('¦', "|")) else {
            continue;
        };
        let mut bytes = Vec::new();
        format::send(oid, &value, types, &mut bytes).unwrap();
        let back = format::receive(Type::of(oid), &bytes, types, session).unwrap();
        let show = |value: &Value| {
            let mut out = Vec::new();
            format::print(oid, value, types, session, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(show(&back), show(&value), "{line}");
        checked += 1;
    }
    assert!(checked > 150, "only {checked} values were read");
}

#[test]
fn answers_are_postgresqls() {
    let mut evaluator = Evaluator {
        types: Types::default(),
        session: Session::default(),
    };
    let (mut wrong, mut unserved) = (Vec::new(), Vec::new());
    for line in include_str!("answers.txt").lines() {
        let (expression, expected) = line.split_once('\t').unwrap();
        let fields: Vec<String> = expression
            .split('|')
            .map(|field| field.replace('¦', "|"))
            .collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        if let ["zone", name] = fields.as_slice() {
            evaluator.session.time_zone = (*name).to_owned();
            continue;
        }
        match evaluator.answer(&fields) {
            Err(error) if is_unserved(&error) => unserved.push(format!("{expression}: {error}")),
            answer => {
                let given = answer.unwrap_or_else(|error| shown(&error));
                if given != expected {
                    wrong.push(format!(
                        "{expression}\n    PostgreSQL: {expected}\n    here:       {given}"
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} answers differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(
        unserved.len(),
        UNSERVED,
        "refused:\n{}",
        unserved.join("\n")
    );
}
