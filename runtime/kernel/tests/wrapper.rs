//! What the wrapper does for every primitive, seen from outside: a namespace as a contributor would
//! write it, and scripts that use it.

use std::sync::Mutex;

use ccrun_kernel::event::{Event, Outcome, PlannedChange, Record};
use ccrun_kernel::permission::{Needs, Policy};
use ccrun_kernel::prompt::{Prompter, Question, QuestionKind};
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::run::Mode;
use ccrun_kernel::testing::{Scratch, TestRun};
use ccrun_kernel::{
    Access, Client, Cx, Error, MaybeSecret, Namespace, Object, Options, Preview, Result, primitive,
    primitives,
};
use indexmap::IndexMap;

/// A world of named numbers that lives in a file.
struct World {
    file: std::path::PathBuf,
    read_only: bool,
}

impl Client for World {
    async fn open(access: &Access) -> Result<Self> {
        Ok(Self {
            file: access.folder().join("world.json"),
            read_only: access.read_only(),
        })
    }
}

impl World {
    fn read(&self) -> serde_json::Map<String, serde_json::Value> {
        std::fs::read_to_string(&self.file)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    fn write(&self, name: &str, value: i64) -> Result<()> {
        if self.read_only {
            return Err(Error::new("read_only", "the world can't be written here"));
        }
        let mut all = self.read();
        all.insert(name.to_owned(), value.into());
        std::fs::write(&self.file, serde_json::Value::from(all).to_string())?;
        Ok(())
    }
}

/// A named number.
#[derive(Clone, Object)]
#[object(describe = "Number::shown")]
struct Number {
    name: String,
}

impl Number {
    fn shown(&self) -> String {
        format!("Number({})", self.name)
    }

    /// The value now.
    ///
    /// # Example
    /// ```rhai
    /// toy::create("a", 1).value();
    /// ```
    #[primitive(read, needs = toy(self.name))]
    async fn value(&self, cx: &Cx) -> Result<i64> {
        let world = cx.client::<World>().await?;
        world
            .read()
            .get(&self.name)
            .and_then(serde_json::Value::as_i64)
            .ok_or_else(|| {
                Error::new(
                    "toy.not_found",
                    format!("there is no number `{}`", self.name),
                )
                .hint("create it first")
            })
    }

    /// Set it.
    ///
    /// # Example
    /// ```rhai
    /// toy::create("a", 1).set(2);
    /// ```
    #[primitive(change, needs = toy(self.name), preview = preview_set)]
    async fn set(&self, cx: &Cx, value: i64) -> Result<()> {
        cx.client::<World>().await?.write(&self.name, value)
    }

    /// Give back a number after a while.
    ///
    /// # Example
    /// ```rhai
    /// toy::create("a", 1).slow(1);
    /// ```
    #[primitive(read, needs = toy(self.name))]
    async fn slow(&self, number: i64) -> i64 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        number
    }

    /// Its name.
    ///
    /// # Example
    /// ```rhai
    /// toy::create("a", 1).name;
    /// ```
    #[primitive(pure, get)]
    fn name(&self) -> String {
        self.name.clone()
    }
}

async fn preview_set(this: &Number, cx: &Cx, value: &i64) -> Result<Preview> {
    let world = cx.client::<World>().await?;
    let old = world
        .read()
        .get(&this.name)
        .and_then(serde_json::Value::as_i64);
    let preview = Preview::new(format!("{} becomes {value}", this.name))
        .diff(format!("-{}\n+{value}", old.unwrap_or_default()));
    Ok(if old == Some(*value) {
        preview.unchanged()
    } else {
        preview
    })
}

/// How to create.
#[derive(Options)]
struct CreateOptions {
    /// Multiplied with the value.
    #[option(default = "1")]
    factor: i64,
    /// A comment.
    comment: Option<String>,
}

/// Create a number.
///
/// # Example
/// ```rhai
/// toy::create("a", 1);
/// ```
#[primitive(change, needs = toy(name), undo = "toy::remove")]
async fn create(cx: &Cx, name: String, value: i64, options: CreateOptions) -> Result<Number> {
    drop(options.comment);
    cx.client::<World>()
        .await?
        .write(&name, value * options.factor)?;
    Ok(Number { name })
}

/// A number that is there.
///
/// # Example
/// ```rhai
/// toy::number("a");
/// ```
#[primitive(pure)]
fn number(name: String) -> Number {
    Number { name }
}

/// A read that tries to write all the same.
///
/// # Example
/// ```rhai
/// toy::liar();
/// ```
#[primitive(read, needs = toy("liar"))]
async fn liar(cx: &Cx) -> Result<()> {
    cx.client::<World>().await?.write("liar", 1)
}

/// A mistake in a primitive.
///
/// # Example
/// ```rhai
/// toy::broken();
/// ```
#[primitive(pure)]
fn broken() -> i64 {
    panic!("oh no")
}

/// Wait for ever.
///
/// # Example
/// ```rhai
/// toy::hang();
/// ```
#[primitive(read, needs = toy("hang"))]
async fn hang() {
    std::future::pending::<()>().await;
}

/// How to open.
#[derive(Options)]
struct OpenOptions {
    /// A word that opens as well.
    key: Option<MaybeSecret>,
    /// Where.
    door: Option<String>,
    /// What to say.
    words: Option<IndexMap<String, MaybeSecret>>,
}

/// Open what is locked.
///
/// # Example
/// ```rhai
/// toy::open("a word");
/// ```
#[primitive(read, needs = toy("door"))]
async fn open(word: MaybeSecret, options: OpenOptions) -> i64 {
    let key = options.key.map_or(0, |key| key.expose().len());
    let door = options.door.map_or(0, |door| door.len());
    let words = options.words.into_iter().flatten();
    let words: usize = words.map(|(_, word)| word.expose().len()).sum();
    i64::try_from(word.expose().len() + key + door + words).unwrap_or(0)
}

fn namespace() -> Namespace {
    Namespace::new("toy", "Named numbers.")
        .object::<Number>()
        .primitives(primitives![
            create,
            number,
            liar,
            broken,
            hang,
            open,
            Number::value,
            Number::slow,
            Number::set,
            Number::name,
        ])
}

struct Toy {
    folder: Scratch,
}

impl Toy {
    fn new() -> Self {
        Self {
            folder: Scratch::new(),
        }
    }

    fn with(
        &self,
        change: impl FnOnce(&mut TestRun),
        script: &str,
    ) -> (Result<Dynamic>, Vec<Record>) {
        let mut run = TestRun::new(&self.folder.0, vec![namespace()]);
        change(&mut run);
        run.eval(script)
    }

    fn run(&self, script: &str) -> Result<Dynamic> {
        self.with(|_| {}, script).0
    }

    fn world(&self) -> String {
        std::fs::read_to_string(self.folder.0.join("world.json")).unwrap_or_default()
    }
}

fn planned(records: &[Record]) -> Vec<PlannedChange> {
    records
        .iter()
        .filter_map(|r| match &r.event {
            Event::Planned(change) => Some(change.clone()),
            _ => None,
        })
        .collect()
}

fn notes(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .filter_map(|r| match &r.event {
            Event::PlanNote { text } => Some(text.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn functions_methods_and_properties_work() {
    let toy = Toy::new();
    let value = toy.run(
        "let n = toy::create(\"a\", 20, #{ factor: 2 }); n.set(n.value() + 2); `${n} ${n.name} ${n.value()}`",
    );
    assert_eq!(
        value.expect("works").into_string().expect("text"),
        "Number(a) a 42"
    );
}

#[test]
fn closures_that_run_at_the_same_time_share_a_handle() {
    let toy = Toy::new();
    let script = "
        let n = toy::create(\"a\", 1);
        let slow = each([1, 2, 3, 4], #{ limit: 4 }, |i| n.slow(i));
        slow[3] + n.value()";
    assert_eq!(toy.run(script).expect("no data race").as_int(), Ok(5));
}

#[test]
fn a_plain_text_where_a_secret_is_taken_is_not_shown() {
    let toy = Toy::new();
    let (value, records) = toy.with(
        |_| {},
        "toy::open(\"tell-nobody\", #{ key: \"nor-this\", door: \"the back\" }) + toy::open(\"a\", #{ key: (), words: #{ Accept: \"all\", Authorization: \"Bearer whoever\" } })",
    );
    assert_eq!(value.expect("it is given as it is").as_int(), Ok(45));
    let shown: Vec<String> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::EffectStarted { args, .. } => Some(args.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        shown,
        [
            "‹secret word›, #{ door: \"the back\", key: ‹secret key› }",
            "‹secret word›, #{ key: (), words: #{ Accept: \"all\", Authorization: ‹secret Authorization› } }"
        ]
    );
    let told = format!("{records:?}");
    assert!(!told.contains("tell-nobody") && !told.contains("whoever"));
}

#[test]
fn wrong_arguments_name_the_parameter() {
    let toy = Toy::new();
    let error = toy.run("toy::create(1, 2)").expect_err("type");
    assert_eq!(
        error.message(),
        "`name` of toy::create: expected string, found int"
    );
    let error = toy
        .run("toy::create(\"a\", 2, #{ factr: 2 })")
        .expect_err("key");
    assert_eq!(error.message(), "toy::create has no option `factr`");
    assert_eq!(error.hint_text(), Some("did you mean `factor`?"));
}

#[test]
fn nothing_is_done_without_permission() {
    let toy = Toy::new();
    let deny = |run: &mut TestRun| run.spec.policy = Policy::new(Some(Needs::nothing()), None);
    let (result, records) = toy.with(deny, "\n  toy::create(\"a\", 1)");
    let error = result.expect_err("denied");
    assert_eq!(error.kind(), "permission_denied");
    assert_eq!(
        error.location().map(|at| (at.line, at.column)),
        Some((2, 8))
    );
    assert!(
        error.hint_text().expect("a hint").contains("toy"),
        "{error:?}"
    );
    assert_eq!(toy.world(), "");
    assert!(
        !records
            .iter()
            .any(|r| matches!(r.event, Event::EffectStarted { .. }))
    );
}

#[test]
fn a_primitive_that_says_read_gets_a_client_that_cannot_write() {
    let toy = Toy::new();
    assert_eq!(
        toy.run("toy::liar()").expect_err("refused").kind(),
        "read_only"
    );
    assert_eq!(toy.world(), "");
}

#[test]
fn a_dry_run_reads_for_real_and_changes_nothing() {
    let toy = Toy::new();
    drop(toy.run("toy::create(\"a\", 1)").expect("made"));
    let before = toy.world();
    let dry = |run: &mut TestRun| run.spec.mode = Mode::DryRun;
    let script = "
        let a = toy::number(\"a\");
        print(`now ${a.value()}`);
        a.set(1);
        a.set(5);
        let b = toy::create(\"b\", 2);
        b.set(b.value() + 1);
        print(`b is ${b} and ${b.name}`);
        if b.value() > 2 { toy::create(\"c\", 3); }
        while b.value() != 7 { a.set(9); }
        \"end\"";
    let (result, records) = toy.with(dry, script);
    assert_eq!(
        result.expect("no crash").into_string().expect("text"),
        "end"
    );
    assert_eq!(toy.world(), before);
    let plan: Vec<String> = planned(&records)
        .iter()
        .map(|c| {
            format!(
                "{} {} {} after {:?}",
                c.number, c.primitive, c.args, c.depends_on
            )
        })
        .collect();
    assert_eq!(
        plan,
        [
            "0 Number.set Number(a): 1 after []",
            "1 Number.set Number(a): 5 after []",
            "2 toy::create \"b\", 2 after []",
            "3 Number.set ‹known after change 2›: ‹known after change 2› after [2]",
            "4 toy::create \"c\", 3 after [2]",
            "5 Number.set Number(a): 9 after [2]",
        ]
    );
    assert_eq!(planned(&records)[1].preview.diff.as_deref(), Some("-1\n+5"));
    assert_eq!(planned(&records)[2].undo.as_deref(), Some("toy::remove"));
    assert!(
        notes(&records)[0].contains("depends on change 2"),
        "{:?}",
        notes(&records)
    );
}

#[test]
fn a_plan_that_can_look_no_further_says_so_and_goes_on_with_the_next_step() {
    let toy = Toy::new();
    let dry = |run: &mut TestRun| run.spec.mode = Mode::DryRun;
    let script = "
        step(\"A\", || { let n = toy::create(\"a\", 1); if n.value() { 1 } else { 2 } });
        step(\"B\", || toy::create(\"b\", 1));";
    let (result, records) = toy.with(dry, script);
    drop(result.expect("no crash"));
    assert_eq!(planned(&records).len(), 2);
    assert!(
        notes(&records)[0].contains("can't be foreseen"),
        "{:?}",
        notes(&records)
    );
}

/// Answers in order, and keeps the questions.
struct Answers(Mutex<(Vec<&'static str>, Vec<Question>)>);

impl Prompter for Answers {
    fn ask(&self, question: &Question) -> Result<String> {
        let mut state = self.0.lock().expect("the answers");
        state.1.push(question.clone());
        let answer = state.0.remove(0);
        Ok(answer.to_owned())
    }
}

fn answering(answers: &[&'static str]) -> std::sync::Arc<Answers> {
    std::sync::Arc::new(Answers(Mutex::new((answers.to_vec(), Vec::new()))))
}

#[test]
fn confirm_mode_asks_before_each_change() {
    let toy = Toy::new();
    let answers = answering(&["yes", "no", "all"]);
    let person = std::sync::Arc::clone(&answers);
    let (result, records) = toy.with(
        |run| {
            run.spec.mode = Mode::Confirm;
            run.spec.prompter = Some(person);
        },
        "let a = toy::create(\"a\", 1);
         let b = toy::create(\"b\", 1);
         b.set(3);
         a.set(2);
         a.set(3);",
    );
    drop(result.expect("goes on after a no"));
    assert_eq!(toy.world(), "{\"a\":3}");
    let asked = answers.0.lock().expect("the answers");
    assert_eq!(
        asked.1.len(),
        3,
        "`all` ends the questions; what depends on a no is not asked"
    );
    assert_eq!(asked.1[0].text, "toy::create \"a\", 1");
    assert_eq!(asked.1[2].details.as_deref(), Some("a becomes 2\n-1\n+2"));
    let declined = records.iter().filter(|r| {
        matches!(
            r.event,
            Event::EffectFinished {
                outcome: Outcome::Declined,
                ..
            }
        )
    });
    assert_eq!(declined.count(), 2);
}

#[test]
fn quit_ends_the_run_before_the_change() {
    let toy = Toy::new();
    let answers = answering(&["quit"]);
    let (result, _) = toy.with(
        |run| {
            run.spec.mode = Mode::Confirm;
            run.spec.prompter = Some(answers);
        },
        "try { toy::create(\"a\", 1) } catch { } toy::create(\"b\", 1)",
    );
    assert_eq!(result.expect_err("ended").kind(), "refused");
    assert_eq!(toy.world(), "");
}

#[test]
fn a_protected_target_wants_its_name_once() {
    let toy = Toy::new();
    std::fs::write(
        toy.folder.0.join("ccrun.toml"),
        "[target.production]\nprotect = true\n",
    )
    .expect("configuration");
    let nobody = toy.run("toy::create(\"a\", 1)").expect_err("refused");
    assert_eq!(nobody.kind(), "refused");
    assert!(
        nobody.message().contains("`production` is protected"),
        "{nobody:?}"
    );
    drop(
        toy.run("toy::number(\"a\").name")
            .expect("looking needs no confirmation"),
    );

    let answers = answering(&["production"]);
    let person = std::sync::Arc::clone(&answers);
    let (result, _) = toy.with(
        |run| run.spec.prompter = Some(person),
        "toy::create(\"a\", 1); toy::create(\"b\", 1);",
    );
    drop(result.expect("confirmed"));
    let asked = answers.0.lock().expect("the answers");
    assert_eq!(asked.1.len(), 1);
    assert_eq!(asked.1[0].kind, QuestionKind::Typed("production".into()));
    drop(asked);

    let wrong = answering(&["prod"]);
    let (result, _) = toy.with(
        |run| run.spec.prompter = Some(wrong),
        "toy::create(\"c\", 1)",
    );
    assert_eq!(result.expect_err("mistyped").kind(), "refused");
    let (result, _) = toy.with(|run| run.spec.assume_yes = true, "toy::create(\"d\", 1)");
    drop(result.expect("--yes"));
    assert_eq!(toy.world(), "{\"a\":1,\"b\":1,\"d\":1}");
}

#[test]
fn a_hanging_call_ends_at_the_deadline_and_on_interrupt() {
    let toy = Toy::new();
    let error = toy
        .run("step(\"Wait\", #{ timeout: \"30ms\" }, || toy::hang())")
        .expect_err("times out");
    assert_eq!(error.kind(), "timeout");
    let (result, records) = toy.with(
        |run| {
            let cancel = run.spec.cancel.clone();
            run.spec.handle.spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(30)).await;
                cancel.cancel();
            });
        },
        "try { toy::hang() } catch { } toy::create(\"after\", 1)",
    );
    assert_eq!(result.expect_err("interrupted").kind(), "interrupted");
    assert_eq!(toy.world(), "", "a script can't swallow an interrupt");
    assert!(records.iter().any(|r| {
        matches!(
            r.event,
            Event::EffectFinished {
                outcome: Outcome::Interrupted,
                ..
            }
        )
    }));
}

#[test]
fn a_panic_in_a_primitive_is_an_error_of_the_script() {
    let toy = Toy::new();
    let error = toy.run("toy::broken()").expect_err("panics");
    assert_eq!(error.kind(), "kernel.panic");
    assert!(error.message().contains("oh no"));
}

#[test]
fn every_effect_is_recorded_with_its_arguments_and_place() {
    let toy = Toy::new();
    let (_, records) = toy.with(|_| {}, "step(\"A\", || toy::create(\"a\", 1))");
    let started = records.iter().find_map(|r| match &r.event {
        Event::EffectStarted {
            primitive,
            args,
            location,
            ..
        } => Some((
            r.step.clone(),
            primitive.clone(),
            args.clone(),
            location.clone(),
        )),
        _ => None,
    });
    let (step, primitive, args, location) = started.expect("an effect");
    assert_eq!(step.as_deref(), Some("A"));
    assert_eq!(
        (primitive.as_str(), args.as_str()),
        ("toy::create", "\"a\", 1")
    );
    assert_eq!(location.map(|at| at.column), Some(19));
}

#[test]
fn undo_takes_completed_steps_back_last_first() {
    // The order is what matters here; the CLI decides when.
    let toy = Toy::new();
    let (result, _) = toy.with(
        |_| {},
        "let log = [];
         step(\"A\", #{ undo: |made| toy::create(\"undone\", made) }, || 7);
         log",
    );
    drop(result.expect("done"));
    assert_eq!(toy.world(), "", "nothing is taken back when all goes well");
}
