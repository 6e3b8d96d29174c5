//! Rules of WasmPlugin and TrafficExtension.

use super::{At, Check, rules};
use crate::extensions::{EnvValueSource, TrafficExtension, TrafficSelector, VmConfig, WasmPlugin};
use crate::finding::Code;
use crate::meta::Meta;

/// Bytes of an inline script.
const MAX_LUA: usize = 65_536;

impl Check for WasmPlugin {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::attachment(self.selector.as_ref(), self.target_ref.as_ref(), &self.target_refs, at);
        module(&self.url, &self.sha256, self.vm_config.as_ref(), at);
        traffic(&self.matches, &at.key("match"));
    }
}

impl Check for TrafficExtension {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::attachment(self.selector.as_ref(), None, &self.target_refs, at);
        rules::exactly_one(&[("lua", self.lua.is_some()), ("wasm", self.wasm.is_some())], at);
        if let Some(lua) = &self.lua {
            let at = at.key("lua");
            let at = at.key("inlineCode");
            rules::required(&lua.inline_code, &at, "the script");
            at.must(lua.inline_code.len() <= MAX_LUA, Code::OutOfRange, || {
                format!("at most {MAX_LUA} bytes are allowed")
            });
        }
        if let Some(wasm) = &self.wasm {
            module(&wasm.url, &wasm.sha256, wasm.vm_config.as_ref(), &at.key("wasm"));
        }
        traffic(&self.matches, &at.key("match"));
    }
}

fn module(url: &str, sha256: &str, vm: Option<&VmConfig>, at: &At<'_>) {
    if rules::required(url, &at.key("url"), "where the module is") {
        let scheme = url.split_once("://").map_or("oci", |(scheme, _)| scheme);
        at.key("url").must(matches!(scheme, "oci" | "http" | "https" | "file"), Code::BadValue, || {
            format!("{scheme:?} is no way to fetch a module; use oci, http, https or file")
        });
    }
    let hex = sha256.len() == 64 && sha256.chars().all(|c| c.is_ascii_hexdigit());
    at.key("sha256").must(sha256.is_empty() || hex, Code::BadValue, || "use 64 hex digits".to_owned());
    let Some(vm) = vm else { return };
    let at = at.key("vmConfig");
    let env = at.key("env");
    rules::unique(vm.env.iter().map(|var| var.name.as_str()), &env, "variable");
    env.each(&vm.env, |at, var| {
        rules::required(&var.name, &at.key("name"), "the name of the variable");
        at.key("value").must(
            var.value.is_empty() || var.value_from == EnvValueSource::Inline,
            Code::Exclusive,
            || "value is only for valueFrom INLINE".to_owned(),
        );
    });
}

fn traffic(list: &[TrafficSelector], at: &At<'_>) {
    at.each(list, |at, selector| {
        at.key("ports").each(&selector.ports, |at, port| {
            rules::port(port.number, &at.key("number"));
        });
    });
}
