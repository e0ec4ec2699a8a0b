//! A tenant that takes of the server whatever it is given: connections, subscriptions, unread messages.

use std::time::{Duration, Instant};

use saggar_harness::SaggarProcess;
use saggar_model::{TENANT_CONNECTIONS_MAX, TENANT_SUBSCRIPTIONS_MAX};

use crate::house::{House, MODES, Mode};
use crate::wire::{BESIDE_A_FLOOD, Wire};

async fn neighbours(mode: Mode) -> (House, SaggarProcess) {
    let house = House::new(mode, &["acme", "globex"]).await;
    let host = house.host().await;
    for tenant in ["acme", "globex"] {
        house.apply(tenant, "", &[("echo", "")]).await;
    }
    (house, host)
}

/// The longest of some tasks of the neighbour's, from submitting to reading the output.
async fn beside(house: &House) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        let began = Instant::now();
        house.run("globex", &["task", "submit", "echo", "clay", "--wait"]).await.expect_code(0);
        longest = longest.max(began.elapsed());
    }
    longest
}

#[tokio::test]
async fn attack_88_connections_over_the_limit_are_refused_and_the_neighbour_does_not_notice() {
    const MORE: u32 = 44;
    for mode in MODES {
        let (house, _host) = neighbours(mode).await;
        let (mut open, mut refused) = (Vec::new(), Vec::new());
        for _ in 0..TENANT_CONNECTIONS_MAX + MORE {
            match house.wire("acme").await {
                Ok(wire) => open.push(wire),
                Err(reason) => refused.push(reason),
            }
        }
        assert_eq!(open.len(), TENANT_CONNECTIONS_MAX as usize, "{mode:?}");
        assert!(refused.iter().any(|reason| reason.contains("maximum account")), "{refused:?}");
        assert!(beside(&house).await < BESIDE_A_FLOOD);
        for wire in &mut open {
            wire.heard_of().await.expect("those within the limit are left alone");
        }
    }
}

#[tokio::test]
async fn attack_88_subscriptions_over_the_limit_are_refused_and_the_neighbour_does_not_notice() {
    const MORE: u32 = 100;
    for mode in MODES {
        let (house, _host) = neighbours(mode).await;
        let mut wire = house.wire("acme").await.unwrap();
        let mut words = String::new();
        for n in 0..TENANT_SUBSCRIPTIONS_MAX + MORE {
            words += &format!("SUB _INBOX.flood.{n} {n}\r\n");
        }
        wire.say(words.as_bytes()).await;
        let refused = wire.heard_of().await.unwrap_err();
        assert!(refused.contains("maximum") && refused.contains("subscriptions"), "{mode:?}: {refused}");
        assert!(beside(&house).await < BESIDE_A_FLOOD);
    }
}

#[tokio::test]
async fn attack_88_a_listener_that_does_not_read_holds_up_nobody() {
    let (house, _host) = neighbours(Mode::File).await;
    let mut deaf = house.wire("acme").await.unwrap();
    deaf.say(b"SUB saggar.acme.result.> 1\r\nSUB saggar.acme.event.> 2\r\n").await;
    deaf.heard_of().await.unwrap();
    let mut wire: Wire = house.wire("acme").await.unwrap();
    let payload = vec![b'x'; 64 << 10];
    for n in 0..500 {
        wire.publish(format!("saggar.acme.task.echo.t{n}").as_bytes(), b"NATS/1.0\r\n\r\n", &payload).await;
    }
    wire.heard_of().await.unwrap();
    assert!(beside(&house).await < BESIDE_A_FLOOD);
    house.run("acme", &["task", "wait", "echo/t499"]).await.expect_code(0);
}
