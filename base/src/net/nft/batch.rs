//! One change of the kernel's rules, whole or not at all.
//!
//! In: tables, chains and rules in the order in which the kernel shall see them. Out: one netlink write between a begin
//! and an end message. Called by `intercept` and by the laptop mesh.

use super::encode::{encode_action, encode_match};
use super::model::{Action, Family, Hook, Match, Ruleset};
use crate::net::netlink::{Attributes, Head, Netlink, Refused, Requests};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// A batch of changes to nftables.
#[derive(Debug)]
pub struct Batch {
    requests: Requests,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a rule goes.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Family of the table.
    pub family: Family,
    /// Table name.
    pub table: &'a str,
    /// Chain name.
    pub chain: &'a str,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        let mut requests = Requests::default();
        requests.message(batch_head(BATCH_BEGIN), "begin a batch", |_| {});
        Self { requests }
    }

    fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: Family,
        label: String,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let header = [u8::try_from(family.number()).expect("families are small"), 0, 0, 0];
        self.requests.message(
            Head { kind: (SUBSYSTEM << 8) | kind, flags, ack: false, header: &header },
            label,
            fill,
        );
    }

    /// Makes a table empty, whether or not it existed.
    pub fn fresh_table(&mut self, family: Family, table: &str) {
        self.remove_table(family, table);
        self.message(NEW_TABLE, CREATE, family, format!("add table {table}"), |m| m.text(1, table));
    }

    /// Removes a table, whether or not it existed.
    pub fn remove_table(&mut self, family: Family, table: &str) {
        for (kind, flags, verb) in [(NEW_TABLE, CREATE, "add"), (DEL_TABLE, 0, "delete")] {
            self.message(kind, flags, family, format!("{verb} table {table}"), |m| m.text(1, table));
        }
    }

    /// Adds a chain; with a hook it is a base chain that accepts what no rule decides.
    pub fn chain(&mut self, family: Family, table: &str, chain: &str, hook: Option<Hook>) {
        let kind = hook.map_or_else(String::new, |hook| format!(" of type {}", hook.parts().0));
        self.message(NEW_CHAIN, CREATE, family, format!("add chain {chain}{kind}"), |m| {
            m.text(1, table);
            m.text(3, chain);
            if let Some((kind, number, priority)) = hook.map(Hook::parts) {
                m.nest(4, |h| {
                    h.be32(1, number);
                    h.be32(2, priority.cast_unsigned());
                });
                m.text(7, kind);
            }
        });
    }

    /// Appends a rule.
    pub fn rule(&mut self, at: At<'_>, matches: &[Match], action: &Action) {
        let label = format!("add to chain {} the rule {}", at.chain, super::text::rule(matches, action));
        self.message(NEW_RULE, CREATE | APPEND, at.family, label, |m| {
            m.text(1, at.table);
            m.text(2, at.chain);
            m.nest(4, |list| {
                for condition in matches {
                    encode_match(list, at.family, *condition);
                }
                encode_action(list, at.family, action);
            });
        });
    }

    /// Every table of a rule set, in place of what had its name.
    pub fn ruleset(&mut self, ruleset: &Ruleset) {
        for table in &ruleset.tables {
            self.fresh_table(table.family, &table.name);
            for chain in &table.chains {
                self.chain(table.family, &table.name, &chain.name, chain.hook);
            }
            for chain in &table.chains {
                let at = At { family: table.family, table: &table.name, chain: &chain.name };
                for (matches, action) in &chain.rules {
                    self.rule(at, matches, action);
                }
            }
        }
    }

    /// Puts the batch in force on a socket of `Protocol::Netfilter`.
    pub fn commit(mut self, socket: &Netlink) -> Result<(), Refused> {
        self.requests.confirm_last();
        self.requests.message(batch_head(BATCH_END), "end the batch", |_| {});
        socket.send(self.requests)
    }
}

fn batch_head(kind: u16) -> Head<'static> {
    Head { kind, flags: 0, ack: false, header: &[0, 0, 0, SUBSYSTEM as u8] }
}
