#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! The tuner on an adapter: what it measures, remembers, refuses, and that a pinned choice gives the same bits again.

mod common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wgrad::device::DeviceChoice;
use wgrad::gpu::VariantChoice;
use wgrad::init::initialize;
use wgrad::kernel::{Abilities, Epilogue, Form, Kernel, Load, Variant};
use wgrad::plan::{Plan, Planner, TrainingOptions};
use wgrad::train::{Batch, Trainer, TrainerOptions};
use wgrad::tune::{Cache, Effort, FILE, Job, Outcome, Source, Tuner, Tuning, Variants, Verdict};
use wgrad::{Activation, Device, Init, Loss, Network, Params, Precision};

fn network() -> Network {
    Network::new(36).dense(65, Activation::Tanh).dense(12, Activation::Linear)
}

fn job(network: &Network) -> Job<'_> {
    let options = TrainingOptions::new(48, Loss::SoftmaxCrossEntropy);
    Job { network, options, planner: Some(Planner::LayerWise), steps: None }
}

fn tuner(folder: &Path, effort: Effort) -> Tuner {
    Tuner::new(Cache::open(Some(folder.join(FILE))), effort)
}

fn matmuls(tuning: &Tuning) -> impl Iterator<Item = &Verdict> {
    tuning.verdicts.iter().filter(|verdict| matches!(verdict.kernel, Kernel::Matmul { .. }))
}

#[test]
fn what_was_measured_is_remembered() {
    let (gpu, network, folder) = (common::gpu(), network(), tempfile::tempdir().unwrap());
    let first = tuner(folder.path(), Effort::Everything).tune(&gpu, &job(&network)).unwrap();
    assert_eq!(first.incomplete, None);
    assert!(first.seconds > 0.0 && matmuls(&first).count() == 5, "{first:?}");
    for verdict in first.verdicts.iter().filter(|verdict| verdict.candidates.len() > 1) {
        assert_eq!(verdict.source, Source::Measured);
        for (variant, outcome) in &verdict.candidates {
            assert!(matches!(outcome, Outcome::Seconds(s) if *s > 0.0), "{} {variant}: {outcome:?}", verdict.kernel);
        }
        let seconds = |wanted: Variant| {
            verdict.candidates.iter().find_map(|(variant, outcome)| match outcome {
                Outcome::Seconds(seconds) if *variant == wanted => Some(*seconds),
                _ => None,
            })
        };
        let heuristic = seconds(verdict.candidates[0].0).unwrap();
        assert!(seconds(verdict.winner).unwrap() <= heuristic, "{} {}", verdict.kernel, verdict.winner);
    }

    for effort in [Effort::Recall, Effort::Budget, Effort::Everything] {
        let again = tuner(folder.path(), effort).tune(&gpu, &job(&network)).unwrap();
        assert_eq!((&again.pinned, again.seconds), (&first.pinned, 0.0), "{effort:?}");
        let open = again.verdicts.iter().filter(|verdict| verdict.candidates.len() > 1);
        assert!(open.clone().count() > 5 && open.into_iter().all(|verdict| verdict.source == Source::Recalled));
    }
    let ignored = tuner(folder.path(), Effort::None).tune(&gpu, &job(&network)).unwrap();
    for verdict in &ignored.verdicts {
        assert_eq!((verdict.source, verdict.winner), (Source::Heuristic, verdict.candidates[0].0));
    }
}

#[test]
fn a_first_run_does_not_wait_for_barriers_in_software() {
    let (gpu, network) = (common::gpu(), network());
    let with_barriers = |effort| {
        let folder = tempfile::tempdir().unwrap();
        let tuning = tuner(folder.path(), effort).tune(&gpu, &job(&network)).unwrap();
        let text = |verdict: &Verdict, variant: Variant| verdict.kernel.wgsl(variant);
        let measured = |(_, outcome): &&(Variant, Outcome)| matches!(outcome, Outcome::Seconds(_));
        matmuls(&tuning)
            .flat_map(|verdict| verdict.candidates.iter().filter(measured).map(|(variant, _)| text(verdict, *variant)))
            .filter(|text| text.contains("workgroupBarrier"))
            .count()
    };
    let Device::Gpu(adapter) = &gpu else { panic!("{} is no adapter", gpu.name()) };
    let software = adapter.info().device_type == wgpu::DeviceType::Cpu;
    assert_eq!(with_barriers(Effort::Budget) == 0, software);
    assert!(with_barriers(Effort::Everything) > 0);
}

#[test]
fn the_heuristic_knows_what_runs_a_kernel() {
    let product = |dims, able| Kernel::Matmul { form: Form::Nt, epilogue: Epilogue::Store }.heuristic(dims, able);
    let large = [128, 256, 784, 1];
    let [none, software] = [Abilities::default(), Abilities::of_software(Load::Pairs)];
    for load in [Load::Vector, Load::Pairs] {
        let chosen = product(large, Abilities::of_software(load));
        assert!(matches!(chosen, Variant::Broadcast(broadcast) if broadcast.load == load));
    }
    // Some GPUs have subgroups as small as a CPU's vectors.
    let [small, gpu] = [8, 32].map(Abilities::of_subgroup);
    for able in [none, small, gpu] {
        // A tile large enough for few loads, and small enough that there are many of them; else sums are divided.
        let tiles = [[8192, 1024, 784, 1], [1024, 1024, 1024, 1], large].map(|dims| product(dims, able));
        assert_eq!(tiles, [Variant::TiledVector(128), Variant::TiledVector(64), Variant::SlicedVector]);
        let odd = [[8192, 1023, 785, 1], [128, 10, 127, 1], [8192, 3, 785, 1]].map(|dims| product(dims, able));
        assert_eq!(odd, [Variant::Tiled, Variant::Sliced, Variant::Naive]);
    }
    // In software a tiny product takes less than an unrolled text takes to hand over, and a short sum less than a wait.
    let tiny = [16, 8, 32, 1];
    assert_eq!([software, gpu].map(|able| product(tiny, able)), [Variant::Naive, Variant::SlicedVector]);
    assert_eq!(product([16, 8, 12, 1], gpu), Variant::Naive, "there is little to divide");
    let narrow = [4096, 1, 64, 1];
    assert_eq!([software, gpu].map(|able| product(narrow, able)), [Variant::Naive, Variant::Sliced]);
    let sum = |rows, able| Kernel::LossSum.heuristic([rows, 1, 1, 1], able);
    assert_eq!([128, 1 << 20].map(|rows| sum(rows, software)), [Variant::Naive, Variant::Lanes(256)]);
    assert_eq!([1, 128].map(|rows| sum(rows, gpu)), [Variant::Naive, Variant::Lanes(256)]);
}

#[test]
fn a_wrong_variant_is_excluded() {
    let (gpu, network, folder) = (common::gpu(), network(), tempfile::tempdir().unwrap());
    let honest = tuner(folder.path(), Effort::None).tune(&gpu, &job(&network)).unwrap();
    // The heuristic's own choice for every product becomes wrong: one term of its sums is missing.
    let wrong: Vec<Variant> = matmuls(&honest).map(|verdict| verdict.winner).collect();
    let tamper = |variant: Variant, plan: &mut Plan| {
        let step = &mut plan.steps[0];
        if matches!(step.kernel, Kernel::Matmul { .. }) && wrong.contains(&variant) {
            step.uniform.dims[2] -= 1;
        }
    };
    let tuning = tuner(folder.path(), Effort::Everything).tune_tampered(&gpu, &job(&network), &tamper).unwrap();
    assert!(matmuls(&tuning).count() > 0);
    for verdict in matmuls(&tuning) {
        assert!(!wrong.contains(&verdict.winner), "{} {} was taken", verdict.kernel, verdict.winner);
        let (_, outcome) = verdict.candidates.iter().find(|(variant, _)| wrong.contains(variant)).unwrap();
        assert!(matches!(outcome, Outcome::Excluded(why) if why.contains("matmul")), "{outcome:?}");
    }

    let all = |_: Variant, plan: &mut Plan| plan.steps[0].uniform.dims[0] -= 1;
    let elsewhere = tempfile::tempdir().unwrap();
    let error = tuner(elsewhere.path(), Effort::Everything).tune_tampered(&gpu, &job(&network), &all).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no variant of") && text.contains("--device cpu"), "{text}");
}

#[test]
fn the_budget_is_kept() {
    let (gpu, folder) = (common::gpu(), tempfile::tempdir().unwrap());
    let network =
        Network::new(784).dense(256, Activation::Gelu).dense(128, Activation::Silu).dense(10, Activation::Linear);
    let tuning = tuner(folder.path(), Effort::Budget).tune(&gpu, &job(&network)).unwrap();
    assert!(tuning.seconds > 0.0 && tuning.seconds < 10.5, "{} s", tuning.seconds);
    // Whatever was left out stays as it is, so that a second run has the bits of the first.
    let again = tuner(folder.path(), Effort::Budget).tune(&gpu, &job(&network)).unwrap();
    let measured = |tuning: &Tuning| matmuls(tuning).any(|verdict| verdict.source == Source::Measured);
    assert!(measured(&tuning) && again.pinned == tuning.pinned);

    let elsewhere = tempfile::tempdir().unwrap();
    let small = crate::network();
    let hurried = || tuner(elsewhere.path(), Effort::Budget).within(Duration::from_micros(1));
    let tuning = hurried().tune(&gpu, &job(&small)).unwrap();
    assert!(tuning.incomplete.as_ref().unwrap().contains("were spent"), "{tuning:?}");
    let unhurried = tuner(elsewhere.path(), Effort::Budget).tune(&gpu, &job(&small)).unwrap();
    assert_eq!((&unhurried.pinned, unhurried.seconds), (&tuning.pinned, 0.0));
    let thorough = tuner(elsewhere.path(), Effort::Everything).tune(&gpu, &job(&small)).unwrap();
    assert!(measured(&thorough) && thorough.incomplete.is_none());

    let short = Job { steps: Some(3), ..job(&network) };
    let elsewhere = tempfile::tempdir().unwrap();
    let tuning = tuner(elsewhere.path(), Effort::Budget).tune(&gpu, &short).unwrap();
    assert_eq!(tuning.seconds, 0.0);
    assert!(tuning.incomplete.unwrap().contains("too short"));
    assert!(!elsewhere.path().join(FILE).exists());
}

#[test]
fn planners_are_raced_and_a_wrong_one_is_excluded() {
    let network = Network::new(4).dense(8, Activation::Tanh).dense(3, Activation::Linear);
    let raced = Job { planner: None, ..job(&network) };
    for device in [common::gpu(), Device::Cpu] {
        let folder = tempfile::tempdir().unwrap();
        let first = tuner(folder.path(), Effort::Budget).tune(&device, &raced).unwrap();
        assert!(first.planners.len() > 1, "{first:?}");
        let seconds = |(planner, outcome): &(Planner, Outcome)| match outcome {
            Outcome::Seconds(seconds) => *seconds,
            other => panic!("{planner} on {}: {other:?}", device.name()),
        };
        let least = first.planners.iter().map(seconds).fold(f64::INFINITY, f64::min);
        let chosen = first.planners.iter().find(|(planner, _)| *planner == first.pinned.planner).unwrap();
        assert_eq!((seconds(chosen), first.planner_source), (least, Source::Measured));
        let again = tuner(folder.path(), Effort::Recall).tune(&device, &raced).unwrap();
        assert_eq!((&again.pinned, &again.planners), (&first.pinned, &first.planners));
        assert_eq!(again.planner_source, Source::Recalled);
    }

    // Whatever a specialist runs is wrong; the products of the default planner are not.
    let tamper = |_: Variant, plan: &mut Plan| {
        let step = &mut plan.steps[0];
        if matches!(step.kernel.stem(), "fused" | "resident") {
            step.uniform.hyper[0] += 0.25;
            step.uniform.dims[0] -= 1;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let found = tuner(folder.path(), Effort::Budget).tune_tampered(&common::gpu(), &raced, &tamper).unwrap();
    assert_eq!(found.pinned.planner, Planner::LayerWise, "{:?}", found.planners);
    for (planner, outcome) in &found.planners {
        let specialist = *planner != Planner::LayerWise;
        assert_eq!(matches!(outcome, Outcome::Excluded(_)), specialist, "{planner}: {outcome:?}");
    }
}

#[test]
fn a_planner_that_may_not_be_done_in_time_is_postponed() {
    let network = Network::new(4).dense(8, Activation::Tanh).dense(3, Activation::Linear);
    let options = TrainingOptions { data_rows: 100, ..job(&network).options };
    let raced = Job { planner: None, options, ..job(&network) };
    let (gpu, folder) = (common::gpu(), tempfile::tempdir().unwrap());
    let checked = RefCell::new(BTreeSet::new());
    // The specialist with the shorter text comes first. It is slow, so the other one is expected to be slower.
    let slowly = |_: Variant, plan: &mut Plan| {
        let kernel = &plan.steps[0].kernel;
        checked.borrow_mut().insert(kernel.to_string());
        if kernel.stem() == "resident" {
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    let mut hurried = tuner(folder.path(), Effort::Budget).within(Duration::from_secs(4));
    let first = hurried.tune_tampered(&gpu, &raced, &slowly).unwrap();
    let outcome = |tuning: &Tuning, wanted| {
        tuning.planners.iter().find_map(|(planner, outcome)| (*planner == wanted).then(|| outcome.clone())).unwrap()
    };
    assert!(matches!(outcome(&first, Planner::LayerWise), Outcome::Seconds(_)), "{first:?}");
    let Outcome::Postponed(expected) = outcome(&first, Planner::Fused) else { panic!("{first:?}") };
    let why = first.incomplete.as_ref().unwrap();
    assert!(why.contains("the planner fused") && why.contains("wgrad tune"), "{why}");
    // Where it is not expected to be done in time at all, the next run need not try.
    let mut hurried = tuner(folder.path(), Effort::Budget).within(Duration::from_secs_f64(0.9 * expected));
    let again = hurried.tune_tampered(&gpu, &raced, &slowly).unwrap();
    assert_eq!((outcome(&again, Planner::Fused), &again.pinned), (Outcome::Postponed(expected), &first.pinned));

    checked.take();
    let next = tuner(folder.path(), Effort::Everything).tune_tampered(&gpu, &raced, &slowly).unwrap();
    assert!(matches!(outcome(&next, Planner::Fused), Outcome::Seconds(_)), "{next:?}");
    // It goes on where the first one stopped, and with the text that will run: the one that gathers.
    let fused = |kernel: &&String| kernel.starts_with("fused");
    let checked = checked.take();
    assert_eq!(checked.iter().filter(fused).count(), 1, "{checked:?}");
    assert!(checked.iter().find(fused).unwrap().contains("gathers"), "{checked:?}");
}

#[test]
fn planners_are_raced_in_the_precision_of_the_job() {
    let network = Network::new(4).dense(8, Activation::Tanh).dense(3, Activation::Linear);
    let options = TrainingOptions { precision: Precision::F16, ..job(&network).options };
    let (gpu, raced) = (common::gpu(), Job { planner: None, options, ..job(&network) });
    let tuning = tuner(tempfile::tempdir().unwrap().path(), Effort::Budget).tune(&gpu, &raced).unwrap();
    let timed = |(planner, outcome): &(Planner, Outcome)| matches!(outcome, Outcome::Seconds(_)).then_some(*planner);
    let planners: Vec<_> = tuning.planners.iter().filter_map(timed).collect();
    assert_eq!(planners, [Planner::LayerWise, Planner::Fused]);
    let Device::Gpu(adapter) = &gpu else { unreachable!() };
    for planner in planners {
        let options = TrainerOptions { planner, batch: 48, ..TrainerOptions::new(Loss::SoftmaxCrossEntropy) };
        // What the race compiled is there; a trainer has some pipelines more, for gradients alone.
        let added = [Precision::F16, Precision::F32].map(|precision| {
            let before = adapter.pipeline_count();
            Trainer::new(&gpu, network.clone(), TrainerOptions { precision, ..options }).unwrap();
            adapter.pipeline_count() - before
        });
        assert!(added[0] < added[1], "{planner}: {added:?} pipelines in f16 and in f32");
    }
}

/// The parameters after a few steps with the given variants.
fn trained(device: &Device, network: &Network, variants: VariantChoice) -> wgrad::Result<Vec<f32>> {
    let values = initialize(network, &Params::of(network), Init::Auto, 3)?;
    let options = TrainerOptions { batch: 48, ..TrainerOptions::new(Loss::SoftmaxCrossEntropy) };
    let mut trainer = Trainer::with_variants(device, network.clone(), &values, options, variants)?;
    let numbers = |len: usize| (0..len).map(|i| (i * i % 97) as f32 / 97.0).collect::<Vec<_>>();
    trainer.load(&Batch { inputs: &numbers(48 * network.inputs), targets: &numbers(48 * network.outputs()) })?;
    trainer.repeat(20)?;
    trainer.parameters()
}

#[test]
fn a_pinned_choice_gives_the_same_bits_whatever_the_cache_says() {
    let (gpu, network) = (common::gpu(), network());
    let plan = Plan::training(&network, &job(&network).options).unwrap();
    let Device::Gpu(adapter) = &gpu else { unreachable!() };
    let with = |choose: &dyn Fn(&[Variant]) -> Variant| {
        let mut variants = Variants::default();
        for step in &plan.steps {
            let (kernel, dims) = (&step.kernel, step.uniform.dims);
            variants.insert(kernel, dims, choose(&adapter.candidates(kernel, dims)));
        }
        variants
    };
    let pinned = with(&|all| all[0]);
    assert_eq!(pinned.missing(&plan), None);
    let kept = serde_json::to_string(&pinned).unwrap();
    let repeated: Variants = serde_json::from_str(&kept).unwrap();
    let run = |variants: &Variants| trained(&gpu, &network, VariantChoice::Pinned(Arc::new(variants.clone()))).unwrap();
    let first = run(&pinned);
    assert_eq!(first, run(&repeated));
    // The comparison can fail: other variants do have other bits.
    assert_ne!(first, run(&with(&|all| all[all.len() - 1])));
    assert!(Variants::default().missing(&plan).unwrap().starts_with("matmul_nt"));
}

#[test]
fn a_prediction_takes_what_is_noted_and_what_was_measured() {
    let (gpu, network, folder) = (common::gpu(), network(), tempfile::tempdir().unwrap());
    let plan = Plan::prediction(&network, 48).unwrap();
    let recall = |effort, noted: &str| {
        let noted: Variants = serde_json::from_str(noted).unwrap();
        tuner(folder.path(), effort).recall_plan(&gpu, &plan, &noted).unwrap()
    };
    let first = &plan.steps[0];
    let variant = |variants: &Variants| variants.get(&first.kernel, first.uniform.dims).unwrap().to_owned();
    let heuristic = variant(&recall(Effort::Recall, "{}"));
    assert_ne!(heuristic, "naive");
    let noted = r#"{"matmul_nt + bias + tanh 48×65×36": "naive"}"#;
    assert_eq!(variant(&recall(Effort::Recall, noted)), "naive");
    let gone = r#"{"matmul_nt + bias + tanh 48×65×36": "broadcast1x2x3"}"#;
    assert_eq!(variant(&recall(Effort::Recall, gone)), heuristic);

    // The heuristic's choice is found wrong, so another one is remembered.
    let tamper = |found: Variant, plan: &mut Plan| {
        if plan.steps[0].kernel == first.kernel && found.to_string() == heuristic {
            plan.steps[0].uniform.dims[2] -= 1;
        }
    };
    tuner(folder.path(), Effort::Everything).tune_tampered(&gpu, &job(&network), &tamper).unwrap();
    assert_ne!(variant(&recall(Effort::Recall, "{}")), heuristic);
    assert_eq!(variant(&recall(Effort::None, "{}")), heuristic);
}

#[test]
fn a_pinned_variant_that_is_not_there_is_an_error() {
    let (gpu, network) = (common::gpu(), network());
    let missing = r#"{"matmul_nt + bias + tanh 48×65×36": "broadcast1x2x3"}"#;
    let variants: Variants = serde_json::from_str(missing).unwrap();
    let error = trained(&gpu, &network, VariantChoice::Pinned(Arc::new(variants.clone()))).unwrap_err().to_string();
    for word in ["layers.0 forward", "naive", "\"broadcast1x2x3\"", "anew"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    trained(&Device::Cpu, &network, VariantChoice::Pinned(Arc::new(variants))).unwrap();
}

#[test]
fn the_device_is_the_one_that_trains_faster() {
    let (network, folder) = (network(), tempfile::tempdir().unwrap());
    let auto = DeviceChoice::Auto;
    let first = tuner(folder.path(), Effort::Budget).select(&auto, &job(&network)).unwrap();
    assert!(
        first.reason.starts_with("measured for 36-65-12: ") && first.reason.contains("samples/s"),
        "{}",
        first.reason
    );
    let again = tuner(folder.path(), Effort::Recall).select(&auto, &job(&network)).unwrap();
    assert!(again.reason.starts_with("measured before"), "{}", again.reason);
    assert_eq!(first.device.name(), again.device.name());

    let unmeasured = tempfile::tempdir().unwrap();
    let short = Job { steps: Some(10), ..job(&network) };
    let selection = tuner(unmeasured.path(), Effort::Budget).select(&auto, &short).unwrap();
    assert!(matches!(selection.device, Device::Cpu) && selection.reason.contains("over on the CPU"));
    let selection = tuner(unmeasured.path(), Effort::Recall).select(&auto, &short).unwrap();
    assert!(selection.reason.contains("not measured yet"), "{}", selection.reason);
    let selection = tuner(unmeasured.path(), Effort::Budget).select(&DeviceChoice::Gpu, &short).unwrap();
    assert!(matches!(selection.device, Device::Gpu(_)) && selection.reason == "the best adapter");
}
