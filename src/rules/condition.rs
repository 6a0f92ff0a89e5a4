//! An expression that is true or false of a call.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::thread;

use cel::{Context, Env, ExecutionError, Program, Value};
use serde_json::Value as Json;

use crate::check::Walk;
use crate::facts::{CallerFacts, Facts, LocalTime};
use crate::value::{Budget, TooLarge};
use crate::{DEPTH_MAX, LOOPS_MAX, NODES_MAX, SOURCE_BYTES_MAX, TEXT_BYTES_MAX, VALUES_MAX};

/// The standard functions; which of them may be called is checked beforehand.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What the parser needs at most, of which the system gives what is touched alone: it goes down once for each byte of a text at
/// worst, a debug build with less than 100 kB each time.
const PARSER_STACK_BYTES: usize = 256 << 20;

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// It is too long.
    #[error("the expression has {bytes} bytes, at most {SOURCE_BYTES_MAX} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It nests too deep.
    #[error("the expression nests more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// It has too many parts.
    #[error("the expression has more than {NODES_MAX} parts")]
    TooManyNodes,
    /// It has too many loops.
    #[error("the expression has more than {LOOPS_MAX} loops")]
    TooManyLoops,
    /// One loop is inside another.
    #[error("the expression has a loop inside a loop")]
    NestedLoops,
    /// It is not CEL.
    #[error("not a valid expression, at column {column}: {message}")]
    Syntax {
        /// Where, in characters from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// It has what no condition may have.
    #[error("{what} has no place in a condition")]
    NotSupported {
        /// What it is.
        what: &'static str,
    },
    /// It names what there is not.
    #[error("there is no {kind} `{name}`")]
    Unknown {
        /// What it would be.
        kind: &'static str,
        /// What was written.
        name: String,
        /// What was probably meant.
        near: Option<String>,
        /// What there is.
        known: Vec<String>,
    },
    /// It could never be evaluated.
    #[error("the expression cannot be evaluated: {0}")]
    Failing(EvaluationError),
}

/// Why an expression has no answer. No value is in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A field is not there.
    #[error("there is no field `{name}`")]
    NoSuchField {
        /// Its name.
        name: String,
    },
    /// Types do not fit.
    #[error("{what}")]
    Types {
        /// What does not fit.
        what: String,
    },
    /// It is neither true nor false.
    #[error("it gives {kind} instead of true or false")]
    NotBoolean {
        /// What it gives.
        kind: &'static str,
    },
    /// A number is too large, or divided by zero.
    #[error("a number is out of range")]
    Number,
    /// There is too much of what it asks for.
    #[error("there are more than {VALUES_MAX} values or {TEXT_BYTES_MAX} bytes to look at")]
    TooLarge,
    /// Anything else.
    #[error("it failed")]
    Other,
}

impl ConditionError {
    pub(crate) fn unknown(kind: &'static str, name: &str, known: Vec<&str>) -> Self {
        Self::named(kind, name.to_owned(), name, known)
    }

    pub(crate) fn unknown_field(parent: &str, field: &str, known: Vec<&str>) -> Self {
        Self::named("field", format!("{parent}.{field}"), field, known)
    }

    fn named(kind: &'static str, written: String, name: &str, known: Vec<&str>) -> Self {
        const LIKENESS_MIN: f64 = 0.6;
        let likeness = |known: &&str| strsim::normalized_damerau_levenshtein(name, known);
        let near = known
            .iter()
            .filter(|known| likeness(known) >= LIKENESS_MIN)
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        Self::Unknown {
            kind,
            name: written,
            near: near.map(|near| (*near).to_owned()),
            known: known.iter().map(|known| (*known).to_owned()).collect(),
        }
    }
}

/// An expression that was checked and compiled. Clones share it.
#[derive(Clone)]
pub struct Condition {
    compiled: Arc<Compiled>,
}

struct Compiled {
    source: String,
    program: Program,
    names: Vec<&'static str>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({:?})", self.compiled.source)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.compiled.source == other.compiled.source
    }
}

impl Eq for Condition {}

impl Condition {
    /// Compiles an expression and tries it. `state` is a [`sample`](crate::sample) of the state, if it is known what
    /// that looks like.
    ///
    /// # Errors
    /// If it could never work.
    pub fn compile(source: &str, state: Option<&Json>) -> Result<Self, ConditionError> {
        if source.len() > SOURCE_BYTES_MAX {
            let bytes = source.len();
            return Err(ConditionError::TooLong { bytes });
        }
        if nesting(source) > DEPTH_MAX {
            return Err(ConditionError::TooDeep);
        }
        on_a_deep_stack(|| Self::compile_here(source, state))
    }

    fn compile_here(source: &str, state: Option<&Json>) -> Result<Self, ConditionError> {
        let program = ENV.compile(source).map_err(|error| syntax(&error))?;
        let mut walk = Walk::new(state);
        walk.expression(program.expression(), 0)?;
        let condition = Self {
            compiled: Arc::new(Compiled {
                source: source.to_owned(),
                names: walk.names.into_iter().collect(),
                program,
            }),
        };
        condition.try_out(state)?;
        Ok(condition)
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.compiled.source
    }

    /// Whether its answer depends on this name, such as `state`.
    pub fn names(&self, name: &str) -> bool {
        self.compiled.names.contains(&name)
    }

    /// Whether it is true of a call now.
    ///
    /// # Errors
    /// If it has no answer.
    pub fn evaluate(&self, facts: &Facts<'_>) -> Result<bool, EvaluationError> {
        let mut context = Context::with_env(ENV.clone());
        let mut budget = Budget::new();
        for name in &self.compiled.names {
            let value = match *name {
                "state" => budget.value(facts.state),
                other => budget.value(&facts.named(other)),
            };
            let value = value.map_err(|TooLarge| EvaluationError::TooLarge)?;
            context.add_variable_from_value(*name, value);
        }
        match self.compiled.program.execute(&context) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(EvaluationError::NotBoolean { kind: kind(&other) }),
            Err(error) => Err(error.into()),
        }
    }

    /// Evaluates it once; fields that nothing is known of are not held against it.
    fn try_out(&self, state: Option<&Json>) -> Result<(), ConditionError> {
        let caller = CallerFacts::default();
        let empty = Json::Object(serde_json::Map::new());
        let answer = self.evaluate(&Facts {
            duration_secs: 0,
            handoffs: 0,
            caller: &caller,
            state: state.unwrap_or(&empty),
            from: "",
            to: "",
            reason: "",
            attempt: 1,
            time: LocalTime::default(),
        });
        match answer {
            Ok(_) => Ok(()),
            // What is not in the state yet may come, and so may an attribute.
            Err(EvaluationError::NoSuchField { .. }) => Ok(()),
            // A field without a type of its own stands as null in the sample.
            Err(EvaluationError::Types { .. }) if state.is_some() && self.names("state") => Ok(()),
            Err(error) => Err(ConditionError::Failing(error)),
        }
    }
}

impl From<ExecutionError> for EvaluationError {
    /// Keeps names and types; values may be personal data.
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::NoSuchKey(name) | ExecutionError::UndeclaredReference(name) => {
                let name = name.as_ref().clone();
                Self::NoSuchField { name }
            }
            ExecutionError::NoSuchOverload(overload) => Self::Types {
                what: overload.to_string(),
            },
            ExecutionError::UnexpectedType { got, want } => Self::Types {
                what: format!("found {got}, expected {want}"),
            },
            ExecutionError::InvalidArgumentCount { expected, actual } => Self::Types {
                what: format!("{actual} arguments given, {expected} expected"),
            },
            ExecutionError::ValuesNotComparable(left, right) => Self::Types {
                what: format!("{} cannot be compared with {}", kind(&left), kind(&right)),
            },
            ExecutionError::UnsupportedBinaryOperator(operator, left, right) => Self::Types {
                what: format!(
                    "`{operator}` does not go with {} and {}",
                    kind(&left),
                    kind(&right)
                ),
            },
            ExecutionError::UnsupportedTargetType { .. }
            | ExecutionError::NotSupportedAsMethod { .. }
            | ExecutionError::UnsupportedKeyType(_)
            | ExecutionError::UnsupportedIndex(..)
            | ExecutionError::MissingArgumentOrTarget => Self::Types {
                what: "a value has the wrong type".to_owned(),
            },
            ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..)
            | ExecutionError::IndexOutOfBounds(_) => Self::Number,
            _ => Self::Other,
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "a number",
        Value::String(_) | Value::Bytes(_) => "text",
        Value::Bool(_) => "true or false",
        Value::Null => "nothing",
        Value::Function(..) | Value::Opaque(_) | Value::Struct(_) => "something else",
    }
}

/// Runs what the parser does where no text of [`SOURCE_BYTES_MAX`] can exhaust the stack: in a broken text it takes brackets for
/// nested that [`nesting`] takes for quoted.
fn on_a_deep_stack<T: Send>(
    work: impl FnOnce() -> Result<T, ConditionError> + Send,
) -> Result<T, ConditionError> {
    let unread = || ConditionError::Syntax {
        column: 1,
        message: "it cannot be read".to_owned(),
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(PARSER_STACK_BYTES);
        let running = thread.spawn_scoped(scope, work).map_err(|_| unread())?;
        running.join().unwrap_or_else(|_| Err(unread()))
    })
}

/// How deep brackets nest, and how many signs stand in a row: the parser goes down once for each.
fn nesting(source: &str) -> usize {
    let (mut depth, mut deepest, mut row) = (0_usize, 0, 0);
    let mut quote = None;
    let mut escaped = false;
    for letter in source.chars() {
        if let Some(open) = quote {
            if escaped {
                escaped = false;
            } else if letter == '\\' {
                escaped = true;
            } else if letter == open {
                quote = None;
            }
            continue;
        }
        match letter {
            '"' | '\'' => quote = Some(letter),
            '(' | '[' | '{' | '?' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        row = match letter {
            '!' | '-' => row + 1,
            ' ' => row,
            _ => 0,
        };
        deepest = deepest.max(depth + row);
    }
    deepest
}

/// The first of the parser's complaints, on one line.
fn syntax(errors: &cel::ParseErrors) -> ConditionError {
    const MESSAGE_CHARS_MAX: usize = 200;
    let Some(first) = errors.errors.first() else {
        return ConditionError::Syntax {
            column: 1,
            message: "it cannot be read".to_owned(),
        };
    };
    // What the parser would have taken instead is a list of its own tokens.
    let message = first.msg.lines().next().unwrap_or_default();
    let message = message.split(" expecting ").next().unwrap_or_default();
    let message = match message.contains("<EOF>") {
        true => "it ends too early".to_owned(),
        false => message.chars().take(MESSAGE_CHARS_MAX).collect(),
    };
    ConditionError::Syntax {
        column: usize::try_from(first.pos.1).unwrap_or(1).max(1),
        message,
    }
}
