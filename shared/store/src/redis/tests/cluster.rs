//! A cluster of three masters, started here.

use std::collections::HashSet;

use super::*;
use crate::redis::server::free_addr;

const SLOTS: u32 = 16_384;

struct Cluster {
    masters: Vec<RedisServer>,
}

async fn say(server: &RedisServer, words: &[String]) -> String {
    let mut command = redis::cmd("CLUSTER");
    words.iter().for_each(|word| {
        command.arg(word);
    });
    command
        .query_async(&mut server.client().await)
        .await
        .unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

impl Cluster {
    /// Three masters that share the slots and know each other.
    async fn start() -> Self {
        let (mut masters, mut buses) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let bus = free_addr().port();
            let options =
                format!("--cluster-enabled yes --cluster-port {bus} --cluster-node-timeout 2000");
            let options: Vec<&str> = options.split(' ').collect();
            masters.push(RedisServer::start(&options).await);
            buses.push(bus);
        }
        let third = SLOTS / 3 + 1;
        for (number, master) in (0_u32..).zip(&masters) {
            let (from, to) = (number * third, ((number + 1) * third).min(SLOTS) - 1);
            say(master, &words(&format!("ADDSLOTSRANGE {from} {to}"))).await;
            say(master, &words(&format!("SET-CONFIG-EPOCH {}", number + 1))).await;
        }
        for (master, bus) in masters.iter().zip(&buses).skip(1) {
            let port = master.addr().port();
            say(&masters[0], &words(&format!("MEET 127.0.0.1 {port} {bus}"))).await;
        }
        let cluster = Self { masters };
        cluster.agreed().await;
        cluster
    }

    /// Waits until every master knows every slot.
    async fn agreed(&self) {
        for _ in 0..1_500 {
            let mut ready = 0;
            for master in &self.masters {
                let info = say(master, &words("INFO")).await;
                let whole = info.contains("cluster_state:ok")
                    && info.contains("cluster_known_nodes:3")
                    && info.contains("cluster_slots_assigned:16384");
                ready += u32::from(whole);
            }
            if ready == 3 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the masters do not agree");
    }

    async fn shared(&self, clock: &Arc<dyn Clock>) -> Shared {
        let settings = RedisSettings::new(&format!("{}?cluster=true", self.masters[0].url()));
        assert!(settings.cluster);
        connect(&settings, clock).await
    }

    async fn calls(&self, commands: &[&str]) -> Vec<u64> {
        let mut calls = Vec::new();
        for master in &self.masters {
            calls.push(master.calls(commands).await);
        }
        calls
    }
}

fn user_of(number: u128) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

/// A user's slate and version, and their keys.
fn group(number: u128, clock: &Arc<dyn Clock>) -> (Vec<Stored>, Vec<SharedKey>) {
    let user = user_of(number);
    let slate = Stored {
        key: SharedKey::slate(SlateKey(number), Some(&user)),
        ..value(number, 3, "mine", clock)
    };
    let group = vec![slate, Stored::user_version(&user, 3, clock.now().wall_ms)];
    let keys = group.iter().map(|stored| stored.key.clone()).collect();
    (group, keys)
}

/// Reads and writes what one request does, for this user, and takes the lease of one slate.
async fn one_request(shared: &Shared, number: u128, clock: &Arc<dyn Clock>) {
    let (group, keys) = group(number, clock);
    let deadline = soon(clock);
    let stored = shared.set_together(&group, &deadline).await.unwrap();
    assert_eq!(stored.stored, 2);
    let found = shared.mget(&keys, &deadline).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().payload, "mine");
    assert_eq!(found[1].as_ref().unwrap().rank.user_version, 3);
    let count = UserCount::new(&user_of(number), 1, 2);
    let (found, total) = shared
        .mget_counting(&keys, &count, &deadline)
        .await
        .unwrap();
    assert_eq!((found.len(), total), (2, 2));
    let lease = SharedKey::lease(SlateKey(number), None, false);
    let life = Duration::from_secs(5);
    assert_eq!(shared.lease(&lease, life, &deadline).await, Ok(true));
    assert_eq!(shared.lease(&lease, life, &deadline).await, Ok(false));
    let slate = Stored {
        key: SharedKey::slate(SlateKey(number), None),
        ..value(number, 0, "all", clock)
    };
    let released = shared.set_and_release(&[slate], &lease, &deadline).await;
    assert_eq!(released.unwrap().stored, 1, "a lease lies beside its slate");
    assert_eq!(shared.lease(&lease, life, &deadline).await, Ok(true));
}

#[tokio::test]
async fn what_one_request_reads_is_one_round_trip_to_one_of_three_masters() {
    let (cluster, clock) = (Cluster::start().await, clock());
    let shared = cluster.shared(&clock).await;
    let numbers: Vec<u128> = (0..128).collect();
    let (alone, together) = numbers.split_at(64);
    for number in alone {
        one_request(&shared, *number, &clock).await;
    }
    let requests = together.iter().map(|n| one_request(&shared, *n, &clock));
    join_all(requests).await;
    // Commands that scripts call are counted too, so a read by script counts as both.
    let (scripts, reads) = (
        cluster.calls(&["eval"]).await,
        cluster.calls(&["mget"]).await,
    );
    assert_eq!(scripts.iter().sum::<u64>(), 3 * 128, "{scripts:?}");
    assert_eq!(reads.iter().sum::<u64>(), 2 * 128, "{reads:?}");
    assert!(
        reads.iter().all(|reads| *reads > 20),
        "not spread: {reads:?}"
    );
}

#[tokio::test]
async fn a_lost_master_costs_only_its_own_keys_and_hands_out_no_other_value() {
    let (mut cluster, clock) = (Cluster::start().await, clock());
    for master in &cluster.masters {
        let mut client = master.client().await;
        let _: () = redis::cmd("CONFIG")
            .arg(&["SET", "cluster-require-full-coverage", "no"])
            .query_async(&mut client)
            .await
            .unwrap();
    }
    let shared = cluster.shared(&clock).await;
    let texts: Vec<&'static str> = (0..64).map(|i| &*format!("value {i}").leak()).collect();
    for (number, text) in (0..).zip(&texts) {
        let value = Stored {
            key: SharedKey::slate(SlateKey(number), None),
            ..value(number, 1, text, &clock)
        };
        shared.set_together(&[value], &soon(&clock)).await.unwrap();
    }
    cluster.masters[2].kill();
    // Far more calls than its breaker needs to judge by their share.
    for at_once in [1, 64] {
        let (mut lost, mut lapses) = (HashSet::new(), 0);
        let numbered: Vec<(u128, &str)> = (0..).zip(texts.iter().copied()).collect();
        for round in 0..40 {
            for some in numbered.chunks(at_once) {
                let reads = some.iter().map(|(number, text)| {
                    let (shared, clock) = (&shared, &clock);
                    async move {
                        let key = SharedKey::slate(SlateKey(*number), None);
                        match shared.mget(&[key], &soon(clock)).await.as_deref() {
                            Ok([Some(found)]) if found.payload == text.as_bytes() => None,
                            Ok([Some(found)]) => panic!("{found:?} instead of {text}"),
                            _ => Some(*number),
                        }
                    }
                });
                let missed: Vec<u128> = join_all(reads).await.into_iter().flatten().collect();
                lapses += missed.len();
                lost.extend(missed);
            }
            let read = texts.len() - lost.len();
            assert!(
                read >= 20,
                "{read} of 64 keys were always read, {at_once} at once, round {round}"
            );
        }
        let lost = lost.len();
        println!(
            "shown: without one of three masters {lost} of 64 keys are lost, {lapses} of 2560 calls, \
             {at_once} at once"
        );
        assert!(lost > 0, "no key was on the lost master");
    }
}
