//! Rules of Telemetry.

use super::{At, Check, rules};
use crate::finding::Code;
use crate::meta::Meta;
use crate::telemetry::{Metrics, ProviderRef, TagOperation, Telemetry, Tracing};

impl Check for Telemetry {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::attachment(self.selector.as_ref(), self.target_ref.as_ref(), &self.target_refs, at);
        at.key("tracing").each(&self.tracing, tracing);
        at.key("metrics").each(&self.metrics, metrics);
        at.key("accessLogging").each(&self.access_logging, |at, logging| {
            providers(&logging.providers, &at.key("providers"));
            if let Some(filter) = &logging.filter {
                rules::required(&filter.expression, &at.key("filter").key("expression"), "a condition");
            }
        });
    }
}

fn providers(list: &[ProviderRef], at: &At<'_>) {
    at.each(list, |at, provider| {
        rules::required(&provider.name, &at.key("name"), "the name of an extension provider");
    });
}

fn tracing(at: &At<'_>, tracing: &Tracing) {
    let list = at.key("providers");
    providers(&tracing.providers, &list);
    if tracing.providers.len() > 1 {
        list.tell(Code::NoEffect, "only the first provider is used");
    }
    if let Some(percent) = tracing.random_sampling_percentage {
        rules::percent(percent, &at.key("randomSamplingPercentage"));
    }
    for (name, tag) in &tracing.custom_tags {
        let tags = at.key("customTags");
        rules::required(name, &tags, "the name of the tag");
        let sources = [
            ("literal", tag.literal.is_some()),
            ("environment", tag.environment.is_some()),
            ("header", tag.header.is_some()),
            ("formatter", tag.formatter.is_some()),
        ];
        rules::exactly_one(&sources, &tags.key(name));
    }
}

fn metrics(at: &At<'_>, metrics: &Metrics) {
    providers(&metrics.providers, &at.key("providers"));
    rules::span(metrics.reporting_interval, &at.key("reportingInterval"));
    at.key("overrides").each(&metrics.overrides, |at, over| {
        if let Some(selector) = &over.matches {
            let kinds =
                [("metric", selector.metric.is_some()), ("customMetric", selector.custom_metric.is_some())];
            rules::exclusive(&kinds, &at.key("match"));
        }
        for (name, tag) in &over.tag_overrides {
            let tags = at.key("tagOverrides");
            let value = tags.key(name);
            match tag.operation {
                TagOperation::Upsert => {
                    rules::required(&tag.value, &value.key("value"), "the expression for the tag");
                }
                TagOperation::Remove => {
                    value
                        .key("value")
                        .must(tag.value.is_empty(), Code::Exclusive, || "REMOVE takes no value".to_owned());
                }
            }
        }
    });
}
