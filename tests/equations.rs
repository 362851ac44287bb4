#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! Losses with derivatives of the output by the inputs: the examples hold on the GPU, faults are caught, a data set trains
//! like a batch, and what cannot be done is said.

mod common;
#[path = "../examples/pendulum.rs"]
mod pendulum;
#[path = "../examples/signed_distance.rs"]
mod signed_distance;

use wgrad::check::gradients::Case;
use wgrad::data::Task;
use wgrad::graph::Graph;
use wgrad::jet::Components;
use wgrad::kernel::{Jet, JetPass, Kernel};
use wgrad::plan::{Phase, Plan, Planner, Slot, TrainingOptions};
use wgrad::predict::derivatives;
use wgrad::{Activation, Batch, Dataset, Device, Loss, Matrix, Model, Network, Precision, Trainer, TrainerOptions};

fn heat() -> Loss {
    Loss::equation("(u_t - 0.1 * u_xx - sin(x))^2 + w * (u - d)^2", &["x", "t"], &["u"], &["w", "d"]).unwrap()
}

fn network() -> Network {
    Network::new(2).dense(7, Activation::Tanh).dense(5, Activation::Silu).dense(1, Activation::Linear)
}

#[test]
fn the_pendulum_agrees_with_runge_and_kutta() {
    let solution = pendulum::solve(&common::gpu()).unwrap();
    assert!(solution.worst() <= 1e-2, "{}", solution.worst());
    // It is no solution of the linear equation, which lies further away than the bound.
    let linear = solution.times.iter().zip(&solution.exact).map(|(t, exact)| (t.cos() - exact).abs());
    assert!(linear.fold(0.0, f64::max) > 0.1);
}

#[test]
fn the_signed_distance_is_learned() {
    let field = signed_distance::learn(&common::gpu()).unwrap();
    assert!(field.mean_error() < 0.04, "{}", field.mean_error());
    assert!(field.right_side() > 0.97, "{}", field.right_side());
}

/// The honest plan passes, the tampered one does not.
fn demand_caught(tamper: impl Fn(&mut Plan)) {
    let case = Case { padding: 2, ..Case::new(network(), heat(), 9, 1).unwrap() };
    for device in [Device::Cpu, common::gpu()] {
        assert!(case.check(&device, &|_| {}).unwrap().is_ok(), "{}: the honest plan fails", device.name());
        let mut plan = case.plan().unwrap();
        tamper(&mut plan);
        assert_ne!(plan, case.plan().unwrap(), "the fault was not planted");
        case.check(&device, &tamper).unwrap().expect_err("a fault passed");
    }
}

#[test]
fn a_step_left_out_is_caught() {
    let labels: Vec<String> =
        Case::new(network(), heat(), 9, 1).unwrap().plan().unwrap().steps.into_iter().map(|s| s.label).collect();
    for label in labels.iter().filter(|label| *label != "update") {
        demand_caught(|plan| plan.steps.retain(|step| step.label != *label));
    }
}

#[test]
fn the_jet_of_another_function_is_caught() {
    for label in ["layers.1 activation", "layers.1 delta"] {
        demand_caught(|plan| {
            let step = plan.steps.iter_mut().find(|step| step.label == label).unwrap();
            let Kernel::Jet(jet) = &step.kernel else { panic!("{label} is no jet") };
            let pass = match jet.pass {
                JetPass::Activation { bias, .. } => JetPass::Activation { activation: Activation::Gelu, bias },
                _ => JetPass::Delta { activation: Activation::Gelu },
            };
            step.kernel = Kernel::Jet(Jet::new(jet.components.clone(), pass).unwrap().into());
        });
    }
}

#[test]
fn a_weight_gradient_of_the_value_alone_is_caught() {
    demand_caught(|plan| {
        let components = plan.steps.iter().find_map(|step| match &step.kernel {
            Kernel::Jet(jet) => Some(jet.components.len() as u32),
            _ => None,
        });
        let step = plan.steps.iter_mut().find(|step| step.label == "layers.1.weight gradient").unwrap();
        step.uniform.dims[2] /= components.unwrap();
    });
}

#[test]
fn the_plan_carries_jets_through_the_same_products() {
    let plan = Plan::training(&network(), &TrainingOptions::new(10, heat())).unwrap();
    let components = Components::closure([vec![0, 0], vec![1]]).len();
    assert_eq!(components, 4, "u, u_x, u_t, u_xx");
    assert_eq!(plan.slot(Slot::Output).unwrap().len, components * 10);
    // Jets of the input, a product and an activation for each layer; back again, a product less.
    assert_eq!(plan.dispatches(&[Phase::Forward]), 1 + 2 * 3);
    assert_eq!(plan.dispatches(&[Phase::Backward]), 3 * 3 + 2 - 1, "behind a linear layer nothing changes");
    let plain = Loss::equation("w * (u - d)^2", &["x", "t"], &["u"], &["w", "d"]).unwrap();
    let plan = Plan::training(&network(), &TrainingOptions::new(10, plain)).unwrap();
    assert_eq!(plan.slot(Slot::InputJets), None, "without derivatives there are no jets");
}

/// Batches gathered on the device and batches from the host give the same bits, and so does a streamed data set; the
/// evaluation is the loss of the whole.
#[test]
fn a_data_set_trains_like_its_batches() {
    let rows = 48;
    let number = |i: usize| ((i * 37 % 101) as f32) / 50.5 - 1.0;
    let data = Dataset {
        name: "heat".into(),
        features: vec!["x".into(), "t".into()],
        task: Task::Regression { outputs: vec!["w".into(), "d".into()] },
        inputs: Matrix { rows, cols: 2, data: (0..2 * rows).map(number).collect() },
        targets: Matrix { rows, cols: 2, data: (0..2 * rows).map(|i| number(i + 7).abs()).collect() },
        weights: None,
    };
    for device in [Device::Cpu, common::gpu()] {
        let options = TrainerOptions { batch: 16, learning_rate: 0.05, ..TrainerOptions::new(heat()) };
        let trainer = |options| Trainer::new(&device, network(), options).unwrap();
        let mut whole = trainer(options);
        whole.fit_in_order(&data).unwrap();
        let mut streamed = trainer(TrainerOptions { data_budget: 400, ..options });
        streamed.fit_in_order(&data).unwrap();
        let mut stepped = trainer(options);
        for (inputs, targets) in data.inputs.data.chunks(32).zip(data.targets.data.chunks(32)) {
            stepped.step(&Batch { inputs, targets }).unwrap();
        }
        let values = whole.parameters().unwrap();
        assert_eq!(values, stepped.parameters().unwrap(), "{}", device.name());
        assert_eq!(values, streamed.parameters().unwrap(), "{}, streamed", device.name());

        let evaluation = whole.evaluate(&data).unwrap();
        let batch = Batch { inputs: &data.inputs.data, targets: &data.targets.data };
        let all = wgrad::train::gradients(&device, &network(), &values, heat(), &batch).unwrap();
        assert!((evaluation.loss - f64::from(all.loss)).abs() < 1e-5 * evaluation.loss);
        assert_eq!((evaluation.accuracy, evaluation.r_squared), (None, None));
        assert_eq!(whole.input_gradients(&batch).unwrap().len(), 2 * rows);
    }
}

#[test]
fn an_equation_without_data_trains() {
    let eikonal = Loss::equation("(u_x^2 + u_y^2 - 1)^2", &["x", "y"], &["u"], &[]).unwrap();
    for device in [Device::Cpu, common::gpu()] {
        let options = TrainerOptions { batch: 8, learning_rate: 0.05, ..TrainerOptions::new(eikonal) };
        let mut trainer = Trainer::new(&device, network(), options).unwrap();
        let inputs: Vec<f32> = (0..16).map(|i| (i as f32 * 0.77).sin()).collect();
        trainer.load(&Batch { inputs: &inputs, targets: &[] }).unwrap();
        trainer.repeat(1).unwrap();
        let first = trainer.losses().unwrap()[0];
        trainer.repeat(300).unwrap();
        let last = trainer.losses().unwrap()[0];
        assert!(last < 0.1 * first, "{}: {first} became {last}", device.name());
    }
}

/// Derivatives of the output by the inputs are those of the network as a graph, batch by batch.
#[test]
fn derivatives_of_the_output_are_computed() {
    let network = network();
    let values =
        Trainer::new(&Device::Cpu, network.clone(), TrainerOptions::new(heat())).unwrap().parameters().unwrap();
    let rows = 1030;
    let inputs = Matrix::new(rows, 2, (0..2 * rows).map(|i| (i as f32 * 0.37).sin()).collect()).unwrap();
    let graph = Graph::new();
    let [x, t] = graph.variables(["x", "t"]);
    let params: Vec<_> = values.iter().map(|&p| graph.constant(p.into())).collect();
    let u = graph.network(&network, &params, &[x, t]).unwrap()[0];
    let exact = [u, u.backward().of(t), u.backward().of(x).backward().of(x), u.backward().of(x).backward().of(t)];
    let exact = graph.function(&["x", "t"], &exact).unwrap();
    for device in [Device::Cpu, common::gpu()] {
        let wanted = [vec![], vec![1], vec![0, 0], vec![1, 0]];
        let found = derivatives(&device, &network, &values, &inputs, &wanted).unwrap();
        for r in [0, 1, 1023, 1024, 1029] {
            let row: Vec<f64> = inputs.row(r).iter().map(|&x| x.into()).collect();
            for (found, exact) in found.iter().zip(exact.eval(&row)) {
                assert!((f64::from(found.row(r)[0]) - exact).abs() < 1e-5, "{}, row {r}", device.name());
            }
        }
        let relu = Network::new(2).dense(1, Activation::Relu);
        let values = vec![0.0; wgrad::Params::of(&relu).len];
        assert!(derivatives(&device, &relu, &values, &inputs, &[vec![0]]).is_err());
        assert!(derivatives(&device, &network, &values, &inputs, &[vec![2]]).is_err(), "there is no third input");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let refused = |network: Network, options: TrainingOptions| {
        Plan::training(&network, &options).map(|_| ()).expect_err("refused").to_string()
    };
    let options = TrainingOptions::new(4, heat());
    let relu = Network::new(2).dense(3, Activation::Relu).dense(1, Activation::Linear);
    assert!(refused(relu, options).contains("need smooth activations, but layer 0 has relu"));
    let narrow = Network::new(1).dense(1, Activation::Tanh);
    assert!(refused(narrow, options).contains("names 2 inputs (x, t), but the network 1-1 has 1"));
    let half = TrainingOptions { precision: Precision::F16, ..options };
    assert!(refused(network(), half).contains("in f32 alone, found the precision f16"));
    for planner in [Planner::Fused, Planner::Resident] {
        let error = refused(network(), TrainingOptions { planner, ..options });
        assert!(error.contains("use the planner layerwise"), "{error}");
    }
    let mut trainer = Trainer::new(&Device::Cpu, network(), TrainerOptions::new(heat())).unwrap();
    let error = trainer.step(&Batch { inputs: &[0.0; 4], targets: &[0.0; 3] }).unwrap_err().to_string();
    assert!(error.contains("expected 2 rows of 2 numbers, found 3 numbers"), "{error}");
}

#[test]
fn a_model_keeps_its_equation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("heat.safetensors");
    let trainer = &mut Trainer::new(&Device::Cpu, network(), TrainerOptions::new(heat())).unwrap();
    let mut model = Model::new(network(), trainer.parameters().unwrap()).unwrap();
    model.loss = Some(heat());
    model.save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap().loss, Some(heat()));
}
