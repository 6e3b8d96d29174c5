//! Flags to rules, as text, and mistakes by flag.

use base::net::nft::Family;
use base::settings::Settings as Environment;

use super::flags::Texts;
use super::options::Options;

fn read(line: &str, env: &[(&str, &str)]) -> Result<Options, String> {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| if word == "''" { String::new() } else { word.to_owned() })
        .collect();
    let mut env = Environment::from_pairs(env.iter().map(|(k, v)| (*k, *v)));
    let root = std::env::temp_dir().join("no-pod-here");
    Options::read(&Texts::read(&words, &mut env)?, &mut env, &root)
}

fn rules(line: &str, env: &[(&str, &str)], family: Family) -> String {
    let options = read(line, env).unwrap();
    options.rules.rules(&[family], options.rules.dns.is_some()).to_string()
}

/// What the injector of Istio passes.
const INJECTED: &str = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x '' -b * -d 15090,15021,15020 \
                        --log_output_level=default:info";

#[test]
fn the_usual_rules() {
    let wanted = "\
table ip mesh {
	chain to_inbound {
		meta l4proto tcp redirect to :15006
	}
	chain output {
		type nat hook output priority -100; policy accept;
		oif lo ip saddr 127.0.0.6 accept
		oif lo meta l4proto tcp ip daddr != 127.0.0.1 tcp dport != 15008 meta skuid 1337 jump to_inbound
		oif lo meta l4proto tcp ip daddr != 127.0.0.1 tcp dport != 15008 meta skgid 1337 jump to_inbound
		oif lo meta skuid != 1337 meta skgid != 1337 accept
		meta skuid 1337 accept
		meta skgid 1337 accept
		ip daddr 127.0.0.1 accept
		meta l4proto tcp redirect to :15001
	}
	chain inbound {
		type nat hook prerouting priority -100; policy accept;
		meta l4proto tcp tcp dport 15008 accept
		meta l4proto tcp tcp dport 15090 return
		meta l4proto tcp tcp dport 15021 return
		meta l4proto tcp tcp dport 15020 return
		meta l4proto tcp redirect to :15006
	}
}
";
    assert_eq!(rules(INJECTED, &[], Family::Ip), wanted);
    let other = rules(INJECTED, &[], Family::Ip6);
    assert!(other.contains("oif lo ip6 saddr ::6 accept"), "{other}");
    assert!(other.contains("ip6 daddr != ::1 tcp dport != 15008 meta skuid 1337 jump to_inbound"), "{other}");
}

#[test]
fn what_is_excluded_and_included() {
    let line = "-u 1337 -g 1338 -i 10.0.0.0/8,fd00::/8 -x 10.1.0.0/16 -b 80,8080 -q 5000 -o 3306 -c eth1,veth+ -k net1";
    let env = [("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "2000"), ("INVALID_DROP", "true")];
    let wanted = "\
	chain output {
		type nat hook output priority -100; policy accept;
		oifname \"eth1\" accept
		oifname \"veth*\" accept
		meta l4proto tcp tcp dport 3306 accept
		meta l4proto udp udp dport 3306 accept
		oif lo ip saddr 127.0.0.6 accept
		oif lo meta l4proto tcp ip daddr != 127.0.0.1 tcp dport != 15008 meta skuid 1337 jump to_inbound
		oif lo meta l4proto tcp ip daddr != 127.0.0.1 tcp dport != 15008 meta skgid 1338 jump to_inbound
		oif lo meta skuid != 1337 meta skgid != 1338 accept
		meta skuid 1337 accept
		meta skgid 1338 accept
		meta skgid 2000 accept
		ip daddr 127.0.0.1 accept
		ip daddr 10.1.0.0/16 accept
		meta l4proto tcp tcp dport 5000 redirect to :15001
		ip daddr 10.0.0.0/8 meta l4proto tcp redirect to :15001
	}
	chain inbound {
		type nat hook prerouting priority -100; policy accept;
		iifname \"net1\" meta l4proto tcp tcp dport 3306 accept
		iifname \"net1\" ip daddr 10.1.0.0/16 accept
		iifname \"net1\" meta l4proto tcp tcp dport 5000 redirect to :15001
		iifname \"net1\" ip daddr 10.0.0.0/8 meta l4proto tcp redirect to :15001
		iifname \"net1\" accept
		iifname \"eth1\" accept
		iifname \"veth*\" accept
		meta l4proto tcp tcp dport 15008 accept
		meta l4proto tcp tcp dport 80 redirect to :15006
		meta l4proto tcp tcp dport 8080 redirect to :15006
	}
	chain arrive {
		type filter hook prerouting priority -150; policy accept;
		ct state invalid drop
	}
";
    let got = rules(line, &env, Family::Ip);
    assert!(got.contains(wanted), "{got}");
    let only = rules(INJECTED, &[("ISTIO_OUTBOUND_OWNER_GROUPS", "7,8")], Family::Ip);
    assert!(only.contains("\t\tmeta skgid != 7 meta skgid != 8 accept\n"), "{only}");
    let loopback = rules("-i 127.0.0.0/8", &[], Family::Ip);
    assert!(!loopback.contains("oif lo meta skuid != 1337"), "{loopback}");
}

#[test]
fn nothing_named_is_nothing_taken() {
    let got = rules("", &[], Family::Ip);
    assert!(!got.contains(":15001"), "{got}");
    assert_eq!(got.matches("redirect").count(), 1, "{got}");
}

#[test]
fn dns_of_any_resolver() {
    let got =
        rules(&format!("{INJECTED} --capture-all-dns"), &[("ISTIO_META_DNS_CAPTURE", "true")], Family::Ip);
    for line in [
        "meta skgid 1337 accept\n\t\tmeta l4proto tcp tcp dport 53 redirect to :15053\n",
        "\t\tmeta l4proto udp udp dport 53 redirect to :15053\n\t\tip daddr 127.0.0.1 accept\n",
        "oif lo meta l4proto tcp tcp dport != 53 meta skuid != 1337 meta skgid != 1337 accept",
        "meta l4proto udp udp dport 53 meta skuid 1337 ct zone set 1",
        "meta l4proto udp udp dport 53 ct zone set 2",
        "meta l4proto udp udp sport 53 ct zone set 1",
    ] {
        assert!(got.contains(line), "{line}\n{got}");
    }
}

#[test]
fn transparent_mode() {
    let got = rules(&INJECTED.replace("REDIRECT", "TPROXY"), &[], Family::Ip);
    let wanted = "\
	chain transparent {
		meta mark 1337 return
		iif lo ip saddr 127.0.0.6 return
		iif lo meta mark != 1338 return
		meta l4proto tcp tcp dport 15008 return
		meta l4proto tcp tcp dport 15090 return
		meta l4proto tcp tcp dport 15021 return
		meta l4proto tcp tcp dport 15020 return
		meta l4proto tcp ct state established,related meta mark set 1337 accept
		meta l4proto tcp ip daddr != 127.0.0.1 tproxy to :15006 meta mark set 1337 accept
	}
	chain mark {
		type route hook output priority -150; policy accept;
		meta l4proto tcp oif lo meta mark 1337 accept
		meta l4proto tcp oif lo ip daddr != 127.0.0.1 meta skuid 1337 meta mark set 1338
		meta l4proto tcp oif lo ip daddr != 127.0.0.1 meta skgid 1337 meta mark set 1338
		meta l4proto tcp ct mark 1337 meta mark set ct mark
	}
	chain arrive {
		type filter hook prerouting priority -150; policy accept;
		meta l4proto tcp jump transparent
		meta l4proto tcp meta mark 1337 ct mark set meta mark
	}
";
    assert!(got.contains(wanted), "{got}");
    assert!(!got.contains("jump to_inbound"), "{got}");
    assert_eq!(read("-t 99 -r 7 -m TPROXY", &[]).unwrap().kept, (99, 7));
}

#[test]
fn every_mistake_is_named() {
    for (line, env, why) in [
        ("-p x", &[][..], "--envoy-port: \"x\""),
        ("-m NONE", &[], "--istio-inbound-interception-mode: \"NONE\" is neither"),
        ("-b 80,http", &[], "--istio-inbound-ports: \"http\" is no port"),
        ("-i 10.0.0.0/33", &[], "--istio-service-cidr: \"10.0.0.0/33\" is no address range"),
        ("-x *", &[], "--istio-service-exclude-cidr"),
        ("-c a/b", &[], "--istio-exclude-interfaces: \"a/b\""),
        ("--probe-timeout=5", &[], "--probe-timeout"),
        ("--dry-run=maybe", &[], "--dry-run: \"maybe\""),
        ("--network-namespace /proc/1/ns/net", &[], "--network-namespace"),
        ("--redirect-dns", &[], "etc/resolv.conf"),
        ("--nope", &[], "unknown flag --nope"),
        ("-p", &[], "--envoy-port needs a value"),
        ("sidecar", &[], "unknown flag sidecar"),
        ("", &[("ISTIO_OUTBOUND_OWNER_GROUPS", "admins")], "ISTIO_OUTBOUND_OWNER_GROUPS: \"admins\""),
        ("", &[("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "10.0.0.0/8")], "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"),
    ] {
        let error = read(line, env).unwrap_err();
        assert!(error.contains(why), "{line}: {error}");
    }
    let both = read("-p x -z y", &[]).unwrap_err();
    assert_eq!(both.lines().count(), 2, "{both}");
}

#[test]
fn flags_and_variables() {
    let options = read("--force-apply --native-nftables=true -n -u0", &[("DUAL_STACK", "true")]).unwrap();
    assert_eq!(options.notes, ["these flags mean nothing here: --force-apply --native-nftables"]);
    assert!(options.dry_run && !options.validate);
    let env = [
        ("INBOUND_CAPTURE_PORT", "16006"),
        ("ENVOY_PORT", "tcp://10.0.0.1:80"),
        ("RUN_VALIDATION", "true"),
        ("ISTIO_SERVICE_CIDR", "*"),
    ];
    let options = read("-p 16001", &env).unwrap();
    assert_eq!((options.rules.outbound, options.rules.inbound), (16001, 16006));
    assert!(options.validate && options.rules.include_ranges.is_none());
}
