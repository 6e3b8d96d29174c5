//! Where DNS questions go: those of applications to port 15053, those of the proxy to the resolver.

use std::net::SocketAddr;

use e2e::netns::{FAMILIES, Ip, PROXY, Place, at};
use e2e::until::eventually;

use crate::rules::Stage;

const APP: (u32, u32) = (1000, 1000);
const OWN: (u32, u32) = (PROXY, PROXY);

/// A pod whose resolvers are those of the place `Resolver`.
fn stage() -> Stage {
    let stage = Stage::new();
    let etc = stage.files.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    let lines = FAMILIES.map(|family| format!("nameserver {}\n", at(family, Place::Resolver)));
    std::fs::write(etc.join("resolv.conf"), lines.concat()).unwrap();
    stage.hosts.pod.serve("dns", 15053, OWN);
    stage.hosts.world.serve("resolver", 53, APP);
    for family in FAMILIES {
        let local = SocketAddr::new(at(family, Place::Loopback), 15053);
        stage.hosts.pod.serve_udp("dns", local, OWN);
        for place in [Place::Resolver, Place::OtherResolver] {
            stage.hosts.world.serve_udp("resolver", SocketAddr::new(at(family, place), 53), APP);
        }
    }
    stage
}

/// Who answers a question, over UDP and over TCP.
fn who(stage: &Stage, family: Ip, place: Place, user: (u32, u32)) -> [String; 2] {
    let to = SocketAddr::new(at(family, place), 53);
    let udp = stage.hosts.pod.ask_as(user, 0, to).unwrap();
    let tcp = stage.out(family, place, 53, user);
    [udp, tcp].map(|text| text.split(' ').next().unwrap().to_owned())
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn questions_to_the_pod_s_resolvers_are_taken() {
    let stage = stage();
    stage.rules("-i * -b * --redirect-dns");
    for family in FAMILIES {
        assert_eq!(who(&stage, family, Place::Resolver, APP), ["dns", "dns"]);
        assert_eq!(who(&stage, family, Place::OtherResolver, APP), ["resolver", "outbound"]);
        assert_eq!(who(&stage, family, Place::Resolver, OWN), ["resolver", "resolver"]);
    }
    stage.rules("-i * -b * --redirect-dns --capture-all-dns");
    for family in FAMILIES {
        assert_eq!(who(&stage, family, Place::OtherResolver, APP), ["dns", "dns"]);
        assert_eq!(who(&stage, family, Place::OtherResolver, OWN), ["resolver", "resolver"]);
    }
    stage.rules("-i * -b *");
    for family in FAMILIES {
        assert_eq!(who(&stage, family, Place::Resolver, APP), ["resolver", "outbound"]);
    }
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn a_port_used_again_is_no_trap() {
    let stage = stage();
    stage.rules("-i * -b * --redirect-dns");
    for family in FAMILIES {
        let resolver = SocketAddr::new(at(family, Place::Resolver), 53);
        // The kernel remembers an application's question for half a minute. One of the proxy from the same port must
        // reach the resolver all the same, and the application's next one the proxy.
        for (user, answers) in [(APP, "dns"), (OWN, "resolver"), (APP, "dns")] {
            // The port is given back when the kernel has let go of the socket before.
            let answer = eventually("an answer", || stage.hosts.pod.ask_as(user, 40053, resolver));
            assert!(answer.starts_with(answers), "{family:?}: {answer}");
        }
    }
}
