//! The walk over an expression that finds what could never work, and counts what it may cost.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};
use serde_json::Value as Json;

use crate::condition::ConditionError;
use crate::facts::NAMES;
use crate::{DEPTH_MAX, LOOPS_MAX, NODES_MAX};

/// Functions that may be called, beside operators.
const FUNCTIONS: &[&str] = &[
    "bool",
    "contains",
    "double",
    "endsWith",
    "has",
    "int",
    "max",
    "min",
    "size",
    "startsWith",
    "string",
];
/// What macros leave behind, and operators.
const INTERNAL: &[char] = &['_', '@', '!', '-'];
const MACROS: &[&str] = &["all", "exists", "exists_one", "filter", "map"];

/// What a walk has found.
#[derive(Default)]
pub(crate) struct Walk<'a> {
    /// The names that are used.
    pub(crate) names: BTreeSet<&'static str>,
    /// What the state looks like, if that is known.
    state: Option<&'a Json>,
    nodes: usize,
    loops: usize,
    /// Variables of the loops around the place.
    bound: Vec<String>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(state: Option<&'a Json>) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    pub(crate) fn expression(
        &mut self,
        node: &IdedExpr,
        depth: usize,
    ) -> Result<(), ConditionError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(ConditionError::TooManyNodes);
        }
        // A loop is several nodes deep by itself.
        if depth > 2 * DEPTH_MAX {
            return Err(ConditionError::TooDeep);
        }
        let depth = depth + 1;
        match &node.expr {
            Expr::Unspecified => Err(ConditionError::NotSupported { what: "nothing" }),
            Expr::Struct(_) => Err(ConditionError::NotSupported {
                what: "a message literal",
            }),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                self.path(node)?;
                self.expression(&select.operand, depth)
            }
            Expr::List(list) => {
                let mut elements = list.elements.iter();
                elements.try_for_each(|element| self.expression(element, depth))
            }
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key, depth)?;
                    self.expression(&entry.value, depth)
                }
                EntryExpr::StructField(_) => Err(ConditionError::NotSupported {
                    what: "a message literal",
                }),
            }),
            Expr::Call(call) => {
                self.function(&call.func_name)?;
                if let Some(target) = &call.target {
                    self.expression(target, depth)?;
                }
                let mut arguments = call.args.iter();
                arguments.try_for_each(|argument| self.expression(argument, depth))
            }
            Expr::Comprehension(of) => {
                self.loops += 1;
                let within = self.loops;
                if within > LOOPS_MAX {
                    return Err(ConditionError::TooManyLoops);
                }
                self.expression(&of.iter_range, depth)?;
                let bound = self.bound.len();
                self.bound.push(of.iter_var.clone());
                self.bound.extend(of.iter_var2.clone());
                self.bound.push(of.accu_var.clone());
                for part in [&of.accu_init, &of.loop_cond, &of.loop_step, &of.result] {
                    self.expression(part, depth)?;
                }
                self.bound.truncate(bound);
                match self.loops == within {
                    true => Ok(()),
                    false => Err(ConditionError::NestedLoops),
                }
            }
        }
    }

    fn name(&mut self, name: &str) -> Result<(), ConditionError> {
        if self.bound.iter().any(|bound| bound == name) {
            return Ok(());
        }
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((known, _)) => {
                self.names.insert(known);
                Ok(())
            }
            None => {
                let known = NAMES.iter().map(|(known, _)| *known).collect();
                Err(ConditionError::unknown("name", name, known))
            }
        }
    }

    fn function(&self, name: &str) -> Result<(), ConditionError> {
        if FUNCTIONS.contains(&name) || name.starts_with(INTERNAL) {
            return Ok(());
        }
        let known = FUNCTIONS.iter().chain(MACROS).copied().collect();
        Err(ConditionError::unknown("function", name, known))
    }

    /// Refuses `time.huor`, and `state.x` if the state is known and has no `x`.
    fn path(&self, node: &IdedExpr) -> Result<(), ConditionError> {
        let Some((root, fields)) = segments(node) else {
            return Ok(());
        };
        if self.bound.iter().any(|bound| bound == root) {
            return Ok(());
        }
        let Some((_, known)) = NAMES.iter().find(|(known, _)| *known == root) else {
            return Ok(());
        };
        if let (Some(known), [field]) = (known, &fields[..])
            && !known.contains(field)
        {
            return Err(ConditionError::unknown_field(root, field, known.to_vec()));
        }
        if let (Some(state), "state", Some((field, parents))) =
            (self.state, root, fields.split_last())
        {
            let parent = parents
                .iter()
                .try_fold(state, |value, name| value.get(name));
            if let Some(Json::Object(parent)) = parent
                && !parent.is_empty()
                && !parent.contains_key(*field)
            {
                let known = parent.keys().map(String::as_str).collect();
                return Err(ConditionError::unknown_field(
                    &path_text(root, parents),
                    field,
                    known,
                ));
            }
        }
        Ok(())
    }
}

fn path_text(root: &str, fields: &[&str]) -> String {
    [&[root], fields].concat().join(".")
}

/// `a.b.c` as `a` and `b`, `c`.
fn segments(node: &IdedExpr) -> Option<(&str, Vec<&str>)> {
    let mut fields = Vec::new();
    let mut at = &node.expr;
    loop {
        match at {
            Expr::Ident(name) => {
                fields.reverse();
                return Some((name, fields));
            }
            Expr::Select(select) => {
                fields.push(select.field.as_str());
                at = &select.operand.expr;
            }
            Expr::Unspecified
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_) => return None,
        }
    }
}
