//! Which items go into which message, and which calls and results belong together.

use std::collections::HashMap;

use crate::livekit::{LivekitItem, Type};

/// What goes into one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// These items.
    Items(Vec<usize>),
    /// Nothing but a place for the result of this call.
    Running(usize),
}

/// For each item, its other half: a result belongs to the last call before it that has its id and no result.
pub(crate) fn pairs(items: &[LivekitItem]) -> Vec<Option<usize>> {
    let mut open: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut halves = vec![None; items.len()];
    for (index, item) in items.iter().enumerate() {
        match item.kind() {
            Type::Call => open.entry(item.text("call_id")).or_default().push(index),
            Type::Output => {
                if let Some(call) = open.get_mut(item.text("call_id")).and_then(Vec::pop) {
                    halves[call] = Some(index);
                    halves[index] = Some(call);
                }
            }
            Type::Message | Type::Handoff | Type::ConfigUpdate => {}
        }
    }
    halves
}

/// One message for each item, in order, without handoffs, updates, and what has no other half.
pub(crate) fn one_by_one(items: &[LivekitItem]) -> Vec<Group> {
    let halves = pairs(items);
    items
        .iter()
        .enumerate()
        .filter(|(index, item)| match item.kind() {
            Type::Message => true,
            Type::Call | Type::Output => halves[*index].is_some(),
            Type::Handoff | Type::ConfigUpdate => false,
        })
        .map(|(index, _)| Group::Items(vec![index]))
        .collect()
}

/// What a model answered at once goes into one message, words first, and the results come right after it.
pub(crate) fn by_answer(items: &[LivekitItem]) -> Vec<Group> {
    struct Answer {
        message: Option<usize>,
        calls: Vec<usize>,
        outputs: Vec<usize>,
    }
    let halves = pairs(items);
    let mut answers: Vec<Answer> = Vec::new();
    let mut by_group: HashMap<&str, usize> = HashMap::new();
    let mut answer_of: HashMap<usize, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let grouped = match item.kind() {
            Type::Message => item.text("role") == "assistant",
            Type::Call => halves[index].is_some(),
            Type::Output => {
                if let Some(answer) = halves[index].and_then(|call| answer_of.get(&call)) {
                    answers[*answer].outputs.push(index);
                }
                continue;
            }
            Type::Handoff | Type::ConfigUpdate => continue,
        };
        if item.kind() == Type::Call && !grouped {
            continue;
        }
        let is_message = item.kind() == Type::Message;
        let joins = by_group.get(item.group()).copied().filter(|answer| {
            let answer: &Answer = &answers[*answer];
            let same_call = |call: &usize| items[*call].text("call_id") == item.text("call_id");
            grouped
                && !(is_message && answer.message.is_some())
                && !answer.calls.iter().any(same_call)
        });
        let answer = joins.unwrap_or_else(|| {
            answers.push(Answer {
                message: None,
                calls: Vec::new(),
                outputs: Vec::new(),
            });
            answers.len() - 1
        });
        if grouped {
            by_group.insert(item.group(), answer);
        }
        if is_message {
            answers[answer].message = Some(index);
        } else {
            answers[answer].calls.push(index);
            answer_of.insert(index, answer);
        }
    }
    let mut groups = Vec::new();
    for answer in answers {
        groups.push(Group::Items(
            answer.message.into_iter().chain(answer.calls).collect(),
        ));
        groups.extend(
            answer
                .outputs
                .into_iter()
                .map(|output| Group::Items(vec![output])),
        );
    }
    groups
}

/// Calls that came in one message are one answer.
pub(crate) fn group_calls(items: &mut [LivekitItem]) {
    let Some((first, rest)) = items.split_first_mut() else {
        return;
    };
    let group = first.group().to_owned();
    for item in rest.iter_mut().filter(|item| item.kind() == Type::Call) {
        item.set("group_id", group.clone());
    }
}

/// Where an item comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was there before, and stays as it was.
    Known,
    /// It was read.
    Fresh,
}

/// A result that was read says which tool it is of, if its call does.
pub(crate) fn name_outputs(mut items: Vec<(Origin, LivekitItem)>) -> Vec<LivekitItem> {
    let mut tools: HashMap<String, String> = HashMap::new();
    for (origin, item) in &mut items {
        match item.kind() {
            Type::Call => {
                tools.insert(
                    item.text("call_id").to_owned(),
                    item.text("name").to_owned(),
                );
            }
            Type::Output if *origin == Origin::Fresh && !item.fields().contains_key("name") => {
                let tool = tools.get(item.text("call_id")).cloned().unwrap_or_default();
                item.set("name", tool);
            }
            Type::Output | Type::Message | Type::Handoff | Type::ConfigUpdate => {}
        }
    }
    items.into_iter().map(|(_, item)| item).collect()
}
