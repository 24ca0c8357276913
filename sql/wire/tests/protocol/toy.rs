//! An engine over a map, with a record of what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crossfade_sql_wire::{
    Begin, Column, Engine, EngineSession, Isolation, Prepared, Sink, Surroundings,
};
use crossfade_values::{Error, Named, Oid, Result, Type, Value, oid};
use futures::future::BoxFuture;
use pg_query::NodeEnum;

type Map = BTreeMap<String, i64>;

/// Shared by all sessions of a server.
#[derive(Debug, Default)]
pub(crate) struct Toy {
    rows: Mutex<Map>,
    log: Mutex<Vec<String>>,
    prepared: Mutex<usize>,
}

impl Toy {
    /// What the engine was asked since the last call.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// How many statements were understood.
    pub(crate) fn prepared(&self) -> usize {
        *self.prepared.lock().unwrap()
    }

    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }
}

/// The engine.
#[derive(Debug, Default)]
pub(crate) struct ToyEngine(pub(crate) Arc<Toy>);

impl Engine for ToyEngine {
    fn session(&self) -> Box<dyn EngineSession> {
        Box::new(ToySession {
            toy: self.0.clone(),
            rows: Map::new(),
            savepoints: Vec::new(),
            fails_at_commit: None,
        })
    }
}

struct ToySession {
    toy: Arc<Toy>,
    rows: Map,
    savepoints: Vec<(String, Map)>,
    fails_at_commit: Option<&'static str>,
}

#[derive(Debug)]
enum Plan {
    One(Value),
    Param,
    Series(i64),
    Sleep,
    Fail,
    Now,
    SetConfig,
    Get,
    Put(Option<(String, i64)>),
    FailAtCommit(&'static str),
}

fn column(name: &str, of: Oid) -> Column {
    Column {
        name: name.to_owned(),
        table: 0,
        number: 0,
        declared: Type::of(of),
        base: Type::of(of),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(after)
}

fn read(text: &str, params: &[Oid]) -> Result<(Plan, Vec<Oid>, Option<Column>)> {
    let text = text.trim().trim_end_matches(';');
    let given = |at: usize, or: Oid| match params.get(at) {
        None | Some(0) => or,
        Some(known) => *known,
    };
    if let Some(n) = between(text, "SELECT * FROM series(", ")") {
        let plan = Plan::Series(n.parse().unwrap());
        return Ok((plan, vec![], Some(column("n", oid::INT4))));
    }
    if let Some(values) = between(text, "INSERT INTO kv VALUES ('", ")") {
        let (key, value) = values.split_once("', ").unwrap();
        let plan = Plan::Put(Some((key.to_owned(), value.parse().unwrap())));
        return Ok((plan, vec![], None));
    }
    Ok(match text {
        "SELECT 1" => (
            Plan::One(Value::Int(1)),
            vec![],
            Some(column("?column?", oid::INT4)),
        ),
        "SELECT NULL" => (
            Plan::One(Value::Null),
            vec![],
            Some(column("?column?", oid::TEXT)),
        ),
        "SELECT $1" => {
            let of = given(0, oid::TEXT);
            (Plan::Param, vec![of], Some(column("?column?", of)))
        }
        "SELECT sleep()" => (Plan::Sleep, vec![], Some(column("sleep", oid::VOID))),
        "SELECT fail()" => (Plan::Fail, vec![], Some(column("fail", oid::INT4))),
        "SELECT now()" => (Plan::Now, vec![], Some(column("now", oid::TIMESTAMPTZ))),
        "SELECT set_config($1, $2, false)" => {
            let column = column("set_config", oid::TEXT);
            (Plan::SetConfig, vec![oid::TEXT, oid::TEXT], Some(column))
        }
        "SELECT v FROM kv WHERE k = $1" => {
            (Plan::Get, vec![oid::TEXT], Some(column("v", oid::INT8)))
        }
        "INSERT INTO kv VALUES ($1, $2)" => (Plan::Put(None), vec![oid::TEXT, oid::INT8], None),
        "DELETE FROM kv" => (Plan::FailAtCommit("23503"), vec![], None),
        "DELETE FROM unknown" => (Plan::FailAtCommit("08007"), vec![], None),
        "SELECT 3 + 4" => (
            Plan::One(Value::Int(7)),
            vec![],
            Some(column("?column?", oid::INT4)),
        ),
        other => match other.find("nope") {
            Some(at) => {
                return Err(Error::new("42703", "column \"nope\" does not exist").at(at));
            }
            None => return Err(Error::unsupported(other)),
        },
    })
}

impl EngineSession for ToySession {
    fn prepare(
        &mut self,
        statement: &NodeEnum,
        text: &str,
        params: &[Oid],
        _: &dyn Surroundings,
    ) -> Result<Prepared> {
        *self.toy.prepared.lock().unwrap() += 1;
        // Of PREPARE and DECLARE it gets the whole text.
        let own = text.find(" AS ").map(|at| &text[at + 4..]);
        let own = own.or_else(|| text.find(" FOR ").map(|at| &text[at + 5..]));
        let text = match (text.starts_with("EXECUTE"), own) {
            (true, _) => "SELECT 3 + 4",
            (false, own) => own.unwrap_or(text),
        };
        let (plan, params, column) = read(text, params)?;
        Ok(Prepared {
            params,
            columns: column.map(|column| vec![column]),
            plan: Arc::new(plan),
            writes: !matches!(statement, NodeEnum::SelectStmt(_)),
        })
    }

    fn begin(&mut self, how: Begin) -> BoxFuture<'_, Result<()>> {
        let mut what = "begin".to_owned();
        if how.read_only {
            what.push_str(" read only");
        }
        if how.isolation == Isolation::RepeatableRead {
            what.push_str(" repeatable read");
        }
        self.toy.note(what);
        self.rows = self.toy.rows.lock().unwrap().clone();
        Box::pin(std::future::ready(Ok(())))
    }

    fn execute<'a>(
        &'a mut self,
        statement: &'a Prepared,
        params: &'a [Value],
        last: bool,
        around: &'a dyn Surroundings,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            self.toy.note(if last { "execute last" } else { "execute" });
            let plan: &Plan = statement.plan.downcast_ref().unwrap();
            let value = match plan {
                Plan::One(value) => value.clone(),
                Plan::Param => params[0].clone(),
                Plan::Series(count) => {
                    for n in 1..=*count {
                        sink.push(&[Value::Int(n)])?;
                        if sink.is_full() {
                            sink.drain().await?;
                        }
                    }
                    return Ok(format!("SELECT {count}"));
                }
                Plan::Sleep => return std::future::pending().await,
                Plan::Fail => return Err(Error::new("22012", "division by zero")),
                Plan::Now => Value::Timestamp(around.session().transaction_start),
                Plan::SetConfig => {
                    let text = |value: &Value| match value {
                        Value::Text(text) => text.to_string(),
                        _ => String::new(),
                    };
                    let change = (text(&params[0]), Some(text(&params[1])), false);
                    around.session().changes.lock().unwrap().push(change);
                    params[1].clone()
                }
                Plan::Get => {
                    let Value::Text(key) = &params[0] else {
                        panic!()
                    };
                    let Some(found) = self.rows.get(&key[..]) else {
                        return Ok("SELECT 0".to_owned());
                    };
                    Value::Int(*found)
                }
                Plan::Put(constant) => {
                    let (key, value) = match (constant, params) {
                        (Some(constant), _) => constant.clone(),
                        (None, [Value::Text(key), Value::Int(value)]) => (key.to_string(), *value),
                        _ => panic!(),
                    };
                    return self.put(key, value);
                }
                Plan::FailAtCommit(sqlstate) => {
                    self.fails_at_commit = Some(sqlstate);
                    return Ok("DELETE 0".to_owned());
                }
            };
            sink.push(&[value])?;
            Ok("SELECT 1".to_owned())
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<()>> {
        self.toy.note("commit");
        let outcome = match self.fails_at_commit.take() {
            Some(sqlstate) => Err(Error::new(sqlstate, "no")),
            None => {
                *self.toy.rows.lock().unwrap() = self.rows.clone();
                Ok(())
            }
        };
        self.savepoints.clear();
        Box::pin(std::future::ready(outcome))
    }

    fn rollback(&mut self) -> BoxFuture<'_, ()> {
        self.toy.note("rollback");
        self.savepoints.clear();
        self.fails_at_commit = None;
        Box::pin(std::future::ready(()))
    }

    fn savepoint<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        self.toy.note(format!("savepoint {name}"));
        self.savepoints.push((name.to_owned(), self.rows.clone()));
        Box::pin(std::future::ready(Ok(())))
    }

    fn rollback_to<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        self.toy.note(format!("rollback to {name}"));
        let at = self.savepoints.iter().rposition(|(known, _)| known == name);
        let at = at.unwrap();
        self.savepoints.truncate(at + 1);
        self.rows = self.savepoints[at].1.clone();
        Box::pin(std::future::ready(Ok(())))
    }

    fn release<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        self.toy.note(format!("release {name}"));
        Box::pin(std::future::ready(Ok(())))
    }
}

impl ToySession {
    fn put(&mut self, key: String, value: i64) -> Result<String> {
        if self.rows.contains_key(&key) {
            let told = "duplicate key value violates unique constraint \"kv_pkey\"";
            let error =
                Error::new("23505", told).detail(format!("Key (k)=({key}) already exists."));
            return Err(Error {
                named: Some(Box::new(Named {
                    schema: "public".to_owned(),
                    table: "kv".to_owned(),
                    column: None,
                    constraint: Some("kv_pkey".to_owned()),
                    datatype: None,
                })),
                ..error
            });
        }
        self.rows.insert(key, value);
        Ok("INSERT 0 1".to_owned())
    }
}
