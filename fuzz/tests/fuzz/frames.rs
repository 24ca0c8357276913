//! Bytes of a peer: first packets, message streams cut anywhere, bodies taken apart and put together again.

use bytes::{Bytes, BytesMut};
use crossfade_fuzz::{Shown, Target};
use crossfade_proxy::wire::{
    HEADER, Step, Walker,
    backend::{Status, error_field, kept_row, split_row, strip_description},
    frontend::{self, Bind, Parse},
    frontend_limit, read_startup,
};

const DICTIONARY: &[&[u8]] = &[
    b"\0\0\0\x08\x04\xd2\x16\x2f",
    b"\0\x03\0\0",
    b"user\0app\0",
    b"Q\0\0\0\x0dSELECT 1\0",
    b"S\0\0\0\x04",
    b"H\0\0\0\x04",
    b"X\0\0\0\x04",
    b"P\0\0\0\x08\0\0\0\0",
    b"B\0\0\0\x0c\0\0\0\0\0\0\0\0",
    b"Z\0\0\0\x05I",
    b"\xff\xff\xff\xff",
    b"\0",
    b"D",
    b"E",
    b"T",
    b"C",
    b"d",
];

/// A step with the pieces of a body put together.
type Seen = (u8, usize, Vec<u8>);

fn walk(input: &[u8], cut: usize) -> (Vec<Seen>, Option<String>, bool) {
    let mut walker = Walker::default();
    let mut seen: Vec<Seen> = Vec::new();
    for piece in input.chunks(cut.max(1)) {
        let outcome = walker.walk(piece, |step| {
            match step {
                Step::Head(kind, body) => seen.push((kind, body, Vec::new())),
                Step::Body { bytes, last, .. } => {
                    if let Some((_, length, body)) = seen.last_mut() {
                        body.extend_from_slice(bytes);
                        assert_eq!(last, body.len() == *length);
                    }
                }
            }
            Ok(())
        });
        if let Err(error) = outcome {
            return (seen, Some(error.to_string()), false);
        }
    }
    (seen, None, walker.between())
}

/// A body that is taken apart is put together as it was.
fn frontend(kind: u8, body: &[u8]) -> Result<bool, String> {
    let mut again = BytesMut::new();
    let read = match kind {
        b'Q' => frontend::read_query(body).map(|sql| frontend::query(&mut again, sql)),
        b'P' => Parse::read(body)
            .map(|parse| frontend::parse(&mut again, parse.name, parse.sql, &parse.types)),
        b'B' => Bind::read(body).map(|bind| {
            for index in 0..bind.values.len() + 2 {
                let _format = bind.format(index);
            }
            frontend::bind(
                &mut again,
                bind.portal,
                bind.statement,
                bind.parameters,
                &bind.results,
            );
        }),
        b'D' | b'C' => frontend::read_target(kind, body)
            .map(|(target, name)| frontend::target(&mut again, kind, target, name)),
        b'E' => frontend::read_execute(body)
            .map(|(portal, rows)| frontend::execute(&mut again, portal, rows)),
        _ => return Ok(false),
    };
    match read {
        Err(_) => Ok(false),
        Ok(()) if again[HEADER..] == *body => Ok(true),
        Ok(()) => Err(format!(
            "\"{}\" became another message",
            body.escape_ascii()
        )),
    }
}

/// What a server sent, looked into as a dual phase does.
fn backend(kind: u8, body: &[u8]) -> Result<u8, String> {
    let mut shown = 0;
    for strip in 0..4 {
        let fits = match kind {
            b'T' => strip_description(body, strip).is_ok(),
            b'D' => match split_row(Bytes::copy_from_slice(body), strip) {
                Ok(row) => {
                    let mut out = BytesMut::new();
                    kept_row(&mut out, &row);
                    let kept = out.len() - HEADER;
                    if row.appended.len() != strip || kept > body.len() {
                        return Err(format!("{row:?} of \"{}\"", body.escape_ascii()));
                    }
                    true
                }
                Err(_) => false,
            },
            b'E' | b'N' => error_field(body, b'C').is_some(),
            b'Z' => body.first().copied().and_then(Status::read).is_some(),
            _ => false,
        };
        shown = shown << 1 | u8::from(fits);
    }
    Ok(shown)
}

fn check(input: &[u8]) -> Result<Shown, String> {
    let startup = futures::executor::block_on(read_startup(&mut { input }));
    let startup = match startup {
        Ok(Some(startup)) => format!("{startup:?}").len().min(200) / 20,
        Ok(None) => 100,
        Err(_) => 101,
    };
    let whole = walk(input, input.len());
    for cut in [1, 2, 3, 5, 7, 64] {
        if walk(input, cut) != whole {
            return Err(format!("cut into pieces of {cut} it is another stream"));
        }
    }
    let mut shown = Vec::new();
    for (kind, _, body) in whole.0.iter().take(8) {
        shown.push((
            *kind,
            frontend_limit(*kind).is_some(),
            frontend(*kind, body)?,
            backend(*kind, body)?,
        ));
    }
    Ok(Shown::of((startup, shown, whole.1.is_some())))
}

#[test]
fn no_bytes_of_a_peer_break_the_decoder() {
    Target {
        name: "frames",
        dictionary: DICTIONARY,
        folder: crate::FOLDER,
        check: &check,
    }
    .run();
}
