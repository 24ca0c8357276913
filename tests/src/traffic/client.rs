//! One client: it owns its orders, so it knows what each must look like.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio_postgres::{Client, Error};

use super::Shared;

/// Orders that this client has, with the state it last gave them.
type Own = BTreeMap<i64, String>;

pub(super) async fn run(number: usize, mut client: Client, shared: Arc<Shared>) {
    let mut own = Own::new();
    let mut step = number;
    while !shared.stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let outcome = operation(&mut client, number, step, &mut own).await;
        let took = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.longest_us.fetch_max(took, Ordering::Relaxed);
        step += 1;
        match outcome {
            Ok(None) => {
                shared.operations.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Some(wrong)) => shared.failed(wrong),
            Err(error) => shared.failed(format!("client {number}: {error:?}")),
        }
        if client.is_closed() {
            return;
        }
    }
}

/// One transaction; `Some` says what was wrong with an answer.
async fn operation(
    client: &mut Client,
    number: usize,
    step: usize,
    own: &mut Own,
) -> Result<Option<String>, Error> {
    let customer = format!("client-{number}");
    match (
        step % 6,
        own.iter().next().map(|(id, state)| (*id, state.clone())),
    ) {
        (0 | 1, _) | (_, None) => insert(client, &customer, own).await.map(|()| None),
        (2, Some((id, _))) => change(client, id, step, own).await,
        (3, Some(_)) if own.len() > 20 => delete(client, own).await,
        (4, Some(_)) => basket(client, &customer, own).await.map(|()| None),
        (_, Some((id, state))) => read_back(client, id, &state).await,
    }
}

async fn insert(client: &Client, customer: &str, own: &mut Own) -> Result<(), Error> {
    let sql = "INSERT INTO orders (customer, total) VALUES ($1, 9.99) RETURNING id, state";
    let row = client.query_one(sql, &[&customer]).await?;
    own.insert(row.get(0), row.get(1));
    Ok(())
}

async fn change(
    client: &Client,
    id: i64,
    step: usize,
    own: &mut Own,
) -> Result<Option<String>, Error> {
    let state = format!("step-{step}");
    let sql = "UPDATE orders SET state = $2, total = total + 1, updated_at = clock_timestamp() WHERE id = $1";
    let changed = client.execute(sql, &[&id, &state]).await?;
    own.insert(id, state);
    Ok((changed != 1).then(|| format!("UPDATE of order {id} changed {changed} rows")))
}

async fn delete(client: &Client, own: &mut Own) -> Result<Option<String>, Error> {
    let Some((id, _)) = own.pop_first() else {
        return Ok(None);
    };
    let gone = client
        .execute("DELETE FROM orders WHERE id = $1", &[&id])
        .await?;
    Ok((gone != 1).then(|| format!("DELETE of order {id} took {gone} rows")))
}

/// An order with two items in one transaction.
async fn basket(client: &mut Client, customer: &str, own: &mut Own) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    let order = "INSERT INTO orders (customer) VALUES ($1) RETURNING id, state";
    let row = transaction.query_one(order, &[&customer]).await?;
    let id: i64 = row.get(0);
    let items =
        "INSERT INTO items (order_id, line, product) VALUES ($1, 1, 'tea'), ($1, 2, 'cups')";
    transaction.execute(items, &[&id]).await?;
    transaction.commit().await?;
    own.insert(id, row.get(1));
    Ok(())
}

async fn read_back(client: &Client, id: i64, state: &str) -> Result<Option<String>, Error> {
    let row = client
        .query_opt("SELECT state FROM orders WHERE id = $1", &[&id])
        .await?;
    let found = row.map(|row| row.get::<_, String>(0));
    Ok((found.as_deref() != Some(state))
        .then(|| format!("order {id} is {found:?}, this client wrote {state:?}")))
}
