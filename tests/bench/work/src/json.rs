//! Orders in, the turnover of each customer out: what most tasks of a web shop come to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// So many orders are ten kilobytes.
const ORDERS: u32 = 62;

#[derive(Serialize, Deserialize)]
struct Order {
    id: u32,
    customer: String,
    note: String,
    items: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    name: String,
    cents: u64,
    count: u64,
}

#[derive(Serialize, Default)]
struct Turnover {
    orders: Vec<u32>,
    cents: u64,
}

/// Some orders, as JSON.
///
/// # Panics
/// Never: the orders can be written.
#[must_use]
pub fn document() -> Vec<u8> {
    let item = |number: u32| Item {
        name: format!("article {}", number % 17),
        cents: u64::from(number * 37 % 10_000),
        count: u64::from(number % 3 + 1),
    };
    let order = |id: u32| Order {
        id,
        customer: format!("customer {}", id % 9),
        note: "please \"ring\" twice\n".to_owned(),
        items: (0..id % 3 + 1).map(|at| item(id * 7 + at)).collect(),
    };
    serde_json::to_vec(&(0..ORDERS).map(order).collect::<Vec<_>>()).expect("orders can be written")
}

/// The turnover of each customer in these orders, as JSON.
///
/// # Panics
/// These are no orders.
#[must_use]
pub fn transform(orders: &[u8]) -> Vec<u8> {
    let orders: Vec<Order> = serde_json::from_slice(orders).expect("orders");
    let mut customers: BTreeMap<String, Turnover> = BTreeMap::new();
    for order in orders {
        let turnover = customers.entry(order.customer).or_default();
        turnover.orders.push(order.id);
        turnover.cents += order.items.iter().map(|item| item.cents * item.count).sum::<u64>();
    }
    serde_json::to_vec(&customers).expect("turnovers can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_kilobytes_of_orders_become_a_turnover_for_each_customer() {
        let document = document();
        assert!((10_000..10_400).contains(&document.len()), "{}", document.len());
        let turnovers: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&transform(&document)).expect("JSON");
        assert_eq!(turnovers.len(), 9);
    }
}
