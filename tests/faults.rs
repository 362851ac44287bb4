#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! Planted faults: each must be caught. A plan is plain data, so a fault in the wiring is a changed plan, and the checker
//! is the one that `wgrad check` and the other tests use. The devices are honest; were a fault let through, its test
//! would fail.

mod common;

use std::sync::Arc;
use wgrad::check::gradients::{Case, network};
use wgrad::check::graphs::{self, Probe};
use wgrad::check::kernels;
use wgrad::graph::{Graph, PRELUDE};
use wgrad::kernel::resident::{DEFAULT_WORKGROUP_MEMORY, Pass, Resident};
use wgrad::kernel::{Epilogue, Form, Kernel, Treatment, Variant, Whole};
use wgrad::network::Bias;
use wgrad::optimizer::Rule;
use wgrad::plan::{Phase, Plan, Planner, Slot};
use wgrad::{Activation, Device, Loss, Network};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

fn case() -> Case {
    let network = network(Activation::Tanh, Loss::SoftmaxCrossEntropy, Bias::PerUnit);
    Case::new(network, Loss::SoftmaxCrossEntropy, 9, 1).unwrap()
}

/// The honest plan passes, the tampered one does not, and the failure names what is wrong.
fn demand_caught(case: &Case, named: &str, tamper: impl Fn(&mut Plan)) {
    for device in devices() {
        let honest = case.check(&device, &|_| {}).unwrap();
        assert!(honest.is_ok(), "{}: the honest plan fails: {honest:?}", device.name());
        let mut plan = case.plan().unwrap();
        let before = plan.clone();
        tamper(&mut plan);
        assert_ne!(plan, before, "the fault was not planted");
        match case.check(&device, &tamper).unwrap() {
            Ok(worst) => panic!("{}: the fault passed with {worst:?}", device.name()),
            Err(failure) => assert!(failure.contains(named), "{}: {failure}", device.name()),
        }
    }
}

fn step<'a>(plan: &'a mut Plan, label: &str) -> &'a mut wgrad::plan::Step {
    plan.steps.iter_mut().find(|step| step.label == label).unwrap()
}

/// What a driver refuses is a failure of that variant, and the others are still checked.
#[test]
fn a_text_that_the_driver_refuses_is_a_failure() {
    let device = common::plain(wgpu::Limits { max_compute_invocations_per_workgroup: 64, ..wgpu::Limits::default() });
    let check = |variant| kernels::check(&device, &Kernel::LossSum, variant, [300, 1, 1, 1], 1, &|_| {}).unwrap();
    assert!(check(Variant::Naive).is_ok());
    let failure = check(Variant::Lanes(256)).unwrap_err();
    assert!(failure.contains("cannot run the kernel") && failure.contains("256"), "{failure}");
}

/// A lost device fails whatever runs on it, and that is no failure of a kernel.
#[test]
fn a_lost_device_ends_the_proof() {
    let device = common::gpu();
    if let Device::Gpu(gpu) = &device {
        gpu.device().destroy();
    }
    let error = kernels::run(&device, 0, &mut |outcome| panic!("{outcome:?}")).unwrap_err();
    assert!(error.to_string().contains("the device was lost"), "{error}");
}

#[test]
fn a_missing_derivative_is_caught() {
    demand_caught(&case(), "gradient", |plan| {
        let step = step(plan, "layers.0 delta");
        step.kernel = Kernel::Matmul {
            form: Form::Nn,
            epilogue: Epilogue::Delta { activation: Activation::Linear, apart: false },
        };
    });
}

#[test]
fn the_derivative_of_another_activation_is_caught() {
    demand_caught(&case(), "gradient", |plan| {
        let step = step(plan, "layers.1 delta");
        step.kernel = Kernel::Matmul {
            form: Form::Nn,
            epilogue: Epilogue::Delta { activation: Activation::Sigmoid, apart: false },
        };
    });
}

#[test]
fn a_transposed_weight_is_caught() {
    // A square layer: its transpose has the same shape, so nothing but the numbers can tell.
    let square = Network::new(6).dense(6, Activation::Tanh).dense(6, Activation::Tanh).dense(4, Activation::Linear);
    let case = Case::new(square, Loss::MeanSquaredError, 7, 2).unwrap();
    demand_caught(&case, "gradient", |plan| {
        let step = step(plan, "layers.0 delta");
        let Kernel::Matmul { form, .. } = &mut step.kernel else { unreachable!() };
        *form = Form::Nt;
    });
    demand_caught(&case, "loss", |plan| {
        let step = step(plan, "layers.1 forward");
        let Kernel::Matmul { form, .. } = &mut step.kernel else { unreachable!() };
        *form = Form::Nn;
    });
}

#[test]
fn a_wrong_sign_is_caught() {
    // The sign of one parameter's gradient alone: the arrays of an honest run, one of them negated.
    let case = case();
    let params = wgrad::Params::of(&case.network);
    for device in devices() {
        let mut found = case.run(device.executor(case.plan().unwrap()).unwrap().as_mut()).unwrap();
        assert!(case.compare(&found).unwrap().is_ok());
        for tensor in &params.tensors {
            let largest = tensor.range().max_by(|&i, &j| found[1][i].abs().total_cmp(&found[1][j].abs())).unwrap();
            found[1][largest] *= -1.0;
            let failure = case.compare(&found).unwrap().expect_err("a wrong sign passed");
            assert!(failure.contains(&tensor.name), "{failure}");
            found[1][largest] *= -1.0;
        }
    }
}

#[test]
fn a_nan_is_caught() {
    let case = case();
    let found = case.run(Device::Cpu.executor(case.plan().unwrap()).unwrap().as_mut()).unwrap();
    for part in 0..found.len() {
        for poison in [f32::NAN, f32::INFINITY] {
            let mut found = found.clone();
            found[part][0] = poison;
            case.compare(&found).unwrap().expect_err("a value that is not finite passed");
        }
    }
}

/// Weights that are not taken are another loss, and what stands behind a row of targets is another row then.
#[test]
fn forgotten_weights_are_caught() {
    let honest = case().with_weights();
    demand_caught(&honest, "", |plan| step(plan, "loss and output delta").uniform.dims[2] = 0);
    let network = Network::new(3).dense(4, Activation::Tanh).dense(2, Activation::Linear);
    for planner in [Planner::Fused, Planner::Resident] {
        let case = Case::new(network.clone(), Loss::SoftmaxCrossEntropy, 9, 1).unwrap().with_weights();
        let (label, dim) =
            if planner == Planner::Fused { ("forward, loss and backward", 2) } else { ("every gradient", 3) };
        demand_caught(&Case { planner, ..case }, "", |plan| step(plan, label).uniform.dims[dim] = 0);
    }
    // Weights that are swapped.
    for device in devices() {
        let mut swapped = case().with_weights();
        let found = swapped.run(device.executor(swapped.plan().unwrap()).unwrap().as_mut()).unwrap();
        assert!(swapped.compare(&found).unwrap().is_ok());
        let width = swapped.targets[1].len() / 9;
        swapped.targets[1].swap(width - 1, 2 * width - 1);
        swapped.compare(&found).unwrap().expect_err("swapped weights passed");
    }
}

#[test]
fn a_step_left_out_is_caught() {
    let labels: Vec<String> = case().plan().unwrap().steps.into_iter().map(|step| step.label).collect();
    for label in labels {
        let parameters_only = label == "update";
        if !parameters_only {
            demand_caught(&case(), "", |plan| plan.steps.retain(|step| step.label != label));
        }
    }
}

/// The backward pass runs for the first batch only: what is compared is its result, finite and plausible, but stale.
#[test]
fn a_stale_output_is_caught() {
    let case = case();
    for device in devices() {
        let mut executor = device.executor(case.plan().unwrap()).unwrap();
        let mut found = case.run(executor.as_mut()).unwrap();
        assert!(case.compare(&found).unwrap().is_ok());
        executor.write(Slot::Input, 0, &case.inputs[0]).unwrap();
        executor.write(Slot::Target, 0, &case.targets[0]).unwrap();
        executor.run(Planner::LayerWise.gradients(), 1).unwrap();
        found[1] = executor.read(Slot::Gradients, 0..found[1].len()).unwrap().wait().unwrap();
        let failure = case.compare(&found).unwrap().expect_err("stale gradients passed");
        assert!(failure.contains("gradient of"), "{failure}");
    }
}

#[test]
fn a_batch_off_by_one_is_caught() {
    demand_caught(&case(), "", |plan| step(plan, "layers.1.weight gradient").uniform.dims[2] -= 1);
    demand_caught(&case(), "", |plan| step(plan, "layers.0.bias gradient").uniform.dims[0] -= 1);
    demand_caught(&case(), "", |plan| step(plan, "record the loss").uniform.dims[0] -= 1);
    demand_caught(&case(), "", |plan| step(plan, "loss and output delta").uniform.dims[0] -= 1);
}

/// A delta takes the place of an activation that the weight gradient above has to read first.
#[test]
fn a_delta_that_comes_too_early_is_caught() {
    demand_caught(&case(), "gradient of layers.1.weight", |plan| {
        let at = |plan: &Plan, label| plan.steps.iter().position(|step| step.label == label).unwrap();
        let gradient = plan.steps.remove(at(plan, "layers.1.weight gradient"));
        let delta = at(plan, "layers.0 delta");
        plan.steps.insert(delta + 1, gradient);
    });
}

/// Some texts update a layer and then propagate through the updated weights. The gradient of the loss does not.
#[test]
fn propagating_through_updated_weights_is_caught() {
    let case = case();
    for device in devices() {
        let mut plan = case.plan().unwrap();
        // The update moves in front of the deltas that need the weights, and counts as part of the backward pass.
        let at = plan.steps.iter().position(|step| step.phase == Phase::Update).unwrap();
        let mut update = plan.steps.remove(at);
        update.phase = Phase::Backward;
        let delta = plan.steps.iter().position(|step| step.label == "layers.1 delta").unwrap();
        plan.steps.insert(delta, update);
        let mut executor = device.executor(plan).unwrap();
        // Gradients of the batch before must be finite, or the update would only spread the poison.
        let found = case.run(executor.as_mut()).unwrap();
        case.compare(&found).unwrap().expect_err("propagation through updated weights passed");
    }
}

#[test]
fn a_faulty_kernel_is_caught() {
    let store = |form| Kernel::Matmul { form, epilogue: Epilogue::Store };
    let forward = |activation, bias| Kernel::Matmul {
        form: Form::Nt,
        epilogue: Epilogue::Forward { activation, bias, keep: false },
    };
    let softmax = |activation| Kernel::Loss { loss: Loss::SoftmaxCrossEntropy, activation };
    type Fault = Box<dyn Fn(&mut Plan)>;
    let becomes = |kernel: Kernel| -> Fault { Box::new(move |plan| plan.steps[0].kernel = kernel.clone()) };
    let parts = Kernel::Matmul { form: Form::Tn, epilogue: Epilogue::Parts };
    let updates = |rule, bias| Kernel::Matmul { form: Form::Tn, epilogue: Epilogue::Update { rule, bias } };
    let delta = Epilogue::Delta { activation: Activation::Sigmoid, apart: true };
    let apart = Kernel::Matmul { form: Form::Nn, epilogue: delta };
    let one_less = |dim: usize| -> Fault { Box::new(move |plan| plan.steps[0].uniform.dims[dim] -= 1) };
    let vector_less = |dim: usize| -> Fault { Box::new(move |plan: &mut Plan| plan.steps[0].uniform.dims[dim] -= 4) };
    let other_setting = |i: usize| -> Fault { Box::new(move |plan| plan.steps[0].uniform.hyper[i] *= 1.01) };
    let bound_past_its_end = |i: usize| -> Fault {
        Box::new(move |plan| {
            plan.steps[0].bindings[i].range = 0..plan.steps[0].bindings[i].range.len();
        })
    };
    let faults: Vec<(&str, Kernel, [u32; 4], Fault)> = vec![
        ("a transposed operand", store(Form::Nn), [16, 16, 16, 0], becomes(store(Form::Nt))),
        ("a row short", store(Form::Tn), [17, 15, 16, 0], one_less(0)),
        ("a column short", store(Form::Nt), [17, 15, 16, 0], one_less(1)),
        ("a term short", store(Form::Nn), [17, 15, 16, 0], one_less(2)),
        (
            "a missing bias",
            forward(Activation::Relu, Bias::PerUnit),
            [5, 7, 3, 0],
            Box::new(|plan| {
                plan.steps[0].kernel = Kernel::Matmul {
                    form: Form::Nt,
                    epilogue: Epilogue::Forward { activation: Activation::Relu, bias: Bias::None, keep: false },
                };
                plan.steps[0].bindings.truncate(3);
            }),
        ),
        (
            "another activation",
            forward(Activation::Silu, Bias::Shared),
            [5, 7, 3, 0],
            becomes(forward(Activation::Gelu, Bias::Shared)),
        ),
        (
            "another loss",
            Kernel::Loss { loss: Loss::MeanSquaredError, activation: Activation::Linear },
            [5, 7, 0, 0],
            becomes(Kernel::Loss { loss: Loss::HalfSumOfSquares, activation: Activation::Linear }),
        ),
        ("a missing derivative", softmax(Activation::Tanh), [5, 7, 0, 0], becomes(softmax(Activation::Linear))),
        ("a sample short", Kernel::Gather, [5, 3, 2, 0], one_less(0)),
        ("a shifted operand", store(Form::Nn), [17, 15, 16, 0], bound_past_its_end(0)),
        ("a shifted output", store(Form::Nn), [17, 15, 16, 0], bound_past_its_end(2)),
        ("a row of the sum short", Kernel::ColumnSum, [65, 15, 0, 0], one_less(0)),
        // Sizes that variants on vectors take.
        ("a row short of vectors", store(Form::Nt), [20, 16, 12, 0], one_less(0)),
        ("a vector of columns short", store(Form::Nn), [20, 16, 12, 0], vector_less(1)),
        ("a vector of terms short", store(Form::Nt), [20, 16, 12, 0], vector_less(2)),
        ("a term short of vectors", store(Form::Tn), [20, 16, 13, 0], one_less(2)),
        ("a vector of rows short", store(Form::Tn), [20, 16, 13, 0], vector_less(0)),
        ("an update without its bias", updates(Rule::Sgd, true), [17, 15, 16, 0], becomes(updates(Rule::Sgd, false))),
        ("an update a term short", updates(Rule::Adam, true), [17, 15, 16, 0], one_less(2)),
        ("an update a row short", updates(Rule::Sgd, false), [17, 15, 16, 0], one_less(0)),
        ("an update with another setting", updates(Rule::Momentum, true), [20, 16, 13, 0], other_setting(0)),
        ("an update of vectors a term short", updates(Rule::RmsProp, true), [20, 16, 13, 0], one_less(2)),
        ("a shifted delta apart", apart.clone(), [17, 15, 16, 0], bound_past_its_end(2)),
        ("a derivative of others apart", apart, [17, 15, 16, 0], bound_past_its_end(3)),
        ("a part short", parts.clone(), [20, 16, 33, 3], one_less(3)),
        ("a term of the last part short", parts, [20, 16, 33, 3], one_less(2)),
        ("a row of the sum of vectors short", Kernel::ColumnSum, [65, 36, 0, 0], one_less(0)),
        ("a vector of the sum short", Kernel::ColumnSum, [65, 36, 0, 0], vector_less(1)),
        ("an element without penalty", Kernel::Treatment(Treatment::Penalty), [257, 0, 0, 0], one_less(0)),
        ("another penalty", Kernel::Treatment(Treatment::Penalty), [1028, 0, 0, 0], other_setting(1)),
        ("another limit", Kernel::Treatment(Treatment::ClipValue), [1028, 0, 0, 0], other_setting(0)),
        ("a square short", Kernel::Treatment(Treatment::Squares), [257, 64, 0, 0], one_less(0)),
        ("a strand short", Kernel::Treatment(Treatment::Squares), [257, 64, 0, 0], one_less(1)),
        ("a strand's squares short", Kernel::Treatment(Treatment::ClipFactor), [257, 0, 0, 0], one_less(0)),
        ("another norm", Kernel::Treatment(Treatment::ClipFactor), [255, 0, 0, 0], other_setting(0)),
        ("a vector not clipped", Kernel::Treatment(Treatment::ClipNorm), [1028, 0, 0, 0], vector_less(0)),
        ("a vector not accumulated", Kernel::Treatment(Treatment::Accumulate), [1028, 0, 0, 0], vector_less(0)),
        (
            "sums that do not begin anew",
            Kernel::Treatment(Treatment::Total),
            [257, 0, 0, 0],
            Box::new(|plan| {
                plan.steps[0].kernel = Kernel::Treatment(Treatment::Accumulate);
            }),
        ),
        ("another decay", Kernel::Treatment(Treatment::Average), [1028, 0, 0, 0], other_setting(0)),
        ("a vector not updated", Kernel::Update(Rule::Momentum), [1028, 0, 0, 0], vector_less(0)),
    ];
    for device in devices() {
        for (what, kernel, dims, fault) in &faults {
            for variant in device.variants(kernel).into_iter().filter(|&variant| kernel.runs(variant, *dims)) {
                let check = |tamper: &dyn Fn(&mut Plan)| kernels::check(&device, kernel, variant, *dims, 3, tamper);
                assert!(check(&|_| {}).unwrap().is_ok(), "{kernel} {variant} fails without a fault");
                let found = check(fault.as_ref()).unwrap();
                assert!(found.is_err(), "{}: {what} in {kernel} {variant} passed", device.name());
            }
        }
    }
}

/// A network that stays in one workgroup, on batches by index, with momentum.
fn resident(loss: Loss, hidden: Activation, pass: Pass, change: impl Fn(&mut Network)) -> Kernel {
    let mut network = Network::new(3).dense(4, hidden).dense(2, Activation::Linear);
    network.layers[0].freeze_bias = true;
    change(&mut network);
    let whole = Whole { network, loss, rule: Rule::Momentum };
    Kernel::Resident(Arc::new(Resident { whole, pass, memory: DEFAULT_WORKGROUP_MEMORY }))
}

#[test]
fn a_faulty_resident_network_is_caught() {
    use Activation::{Sigmoid, Tanh};
    use Loss::{HalfSumOfSquares, MeanSquaredError};
    type Fault = Box<dyn Fn(&mut Plan)>;
    let becomes = |kernel: Kernel| -> Fault { Box::new(move |plan| plan.steps[0].kernel = kernel.clone()) };
    let unfrozen = |network: &mut Network| network.layers[0].freeze_bias = false;
    let frozen = |network: &mut Network| network.layers[1].freeze_weight = true;
    let dims = [7, 4, 12, 0];
    for pass in [Pass::GatheredSteps, Pass::Steps] {
        let honest = |change: &dyn Fn(&mut Network)| resident(HalfSumOfSquares, Tanh, pass, change);
        let mut faults: Vec<(&str, Fault)> = vec![
            ("a row short", Box::new(|plan| plan.steps[0].uniform.dims[0] -= 1)),
            ("another momentum", Box::new(|plan| plan.steps[0].uniform.hyper[0] -= 0.01)),
            (
                "shifted parameters",
                Box::new(move |plan| {
                    let params = &mut plan.steps[0].bindings[if pass == Pass::Steps { 4 } else { 5 }].range;
                    *params = 0..params.len();
                }),
            ),
        ];
        if pass == Pass::GatheredSteps {
            // Other texts, each for the driver to compile: by one pass only.
            faults.extend::<[(&str, Fault); 5]>([
                ("another loss", becomes(resident(MeanSquaredError, Tanh, pass, |_| {}))),
                ("another activation", becomes(resident(HalfSumOfSquares, Sigmoid, pass, |_| {}))),
                ("a frozen bias trained", becomes(honest(&unfrozen))),
                ("a weight not trained", becomes(honest(&frozen))),
                ("samples short", Box::new(|plan| plan.steps[0].uniform.dims[2] -= 3)),
            ]);
        }
        for device in devices() {
            let kernel = honest(&|_| {});
            // The texts of other workgroups differ by their size alone.
            let others = [64, 256].map(Variant::Lanes);
            for variant in device.variants(&kernel).into_iter().filter(|variant| !others.contains(variant)) {
                let check = |tamper: &dyn Fn(&mut Plan)| kernels::check(&device, &kernel, variant, dims, 3, tamper);
                assert!(check(&|_| {}).unwrap().is_ok(), "{kernel} {variant} fails without a fault");
                for (what, fault) in &faults {
                    let found = check(fault.as_ref()).unwrap();
                    assert!(found.is_err(), "{}: {what} in {kernel} {variant} passed", device.name());
                }
            }
        }
    }
}

#[test]
fn a_faulty_resident_gradient_is_caught() {
    let network = Network::new(3).dense(4, Activation::Tanh).dense(2, Activation::Linear);
    let case = Case { planner: Planner::Resident, ..Case::new(network, Loss::SoftmaxCrossEntropy, 9, 1).unwrap() };
    let change = |change: fn(&mut Whole)| {
        move |plan: &mut Plan| {
            let step = step(plan, "every gradient");
            let Kernel::Resident(kernel) = &mut step.kernel else { unreachable!() };
            change(&mut Arc::make_mut(kernel).whole);
        }
    };
    demand_caught(&case, "loss", change(|whole| whole.network.layers[0].activation = Activation::Sigmoid));
    demand_caught(&case, "loss", change(|whole| whole.loss = Loss::BinaryCrossEntropy));
    demand_caught(&case, "loss", |plan| step(plan, "every gradient").uniform.dims[0] -= 1);
    demand_caught(&case, "", |plan| plan.steps.retain(|step| step.label != "every gradient"));
}

/// Faults in the fused step: a part left out, the activation of another network, a stale gradient, a wrong seam of parts.
#[test]
fn a_faulty_fused_step_is_caught() {
    let network = network(Activation::Tanh, Loss::SoftmaxCrossEntropy, Bias::Shared);
    let case = Case::new(network, Loss::SoftmaxCrossEntropy, 130, 1).unwrap();
    let case = Case { planner: Planner::Fused, ..case };
    let computed = |change: fn(&mut Network)| {
        move |plan: &mut Plan| {
            let Kernel::Fused(kernel) = &mut plan.steps[0].kernel else { unreachable!() };
            change(&mut std::sync::Arc::make_mut(kernel).network);
        }
    };
    demand_caught(&case, "", computed(|network| network.layers[1].activation = Activation::Sigmoid));
    demand_caught(&case, "", computed(|network| network.layers[2].activation = Activation::Linear));
    demand_caught(&case, "gradient", |plan| step(plan, "gradients").uniform.dims[0] -= 1);
    demand_caught(&case, "loss", |plan| step(plan, "record the loss").uniform.dims[0] -= 1);
    demand_caught(&case, "", |plan| plan.steps[0].uniform.dims[0] -= 1);
    for label in ["forward, loss and backward", "gradients", "record the loss"] {
        demand_caught(&case, "", |plan| plan.steps.retain(|step| step.label != label));
    }
}

/// Functions given as text: a coefficient, a parameter or a derivative that is off, by every planner.
#[test]
fn a_faulty_function_given_as_text_is_caught() {
    let mish = |text: &str| Activation::custom(text).unwrap();
    let huber =
        |d| Loss::custom("select(abs(y - t) < d, 0.5 * (y - t)^2, d * (abs(y - t) - 0.5 * d))", &[("d", d)]).unwrap();
    let honest = mish("x * tanh(softplus(x))");
    let off = mish("x * tanh(softplus(1.001 * x))");
    let network = Network::new(4).dense(6, honest).dense(5, honest).dense(3, Activation::Linear);
    let case = |planner| Case { planner, ..Case::new(network.clone(), huber(0.5), 9, 1).unwrap() };
    for change in [
        |kernel: &mut Kernel, off: Activation, _: Loss| match kernel {
            Kernel::Matmul { epilogue: Epilogue::Forward { activation, .. }, .. }
                if *activation != Activation::Linear =>
            {
                *activation = off;
            }
            Kernel::Fused(fused) => Arc::make_mut(fused).network.layers[0].activation = off,
            Kernel::Resident(resident) => Arc::make_mut(resident).whole.network.layers[1].activation = off,
            _ => {}
        },
        |kernel: &mut Kernel, _: Activation, off: Loss| match kernel {
            Kernel::Loss { loss, .. } => *loss = off,
            Kernel::Fused(fused) => {
                if let wgrad::kernel::fused::Pass::Training { loss, .. } = &mut Arc::make_mut(fused).pass {
                    *loss = off;
                }
            }
            Kernel::Resident(resident) => Arc::make_mut(resident).whole.loss = off,
            _ => {}
        },
    ] {
        for &planner in Planner::ALL {
            demand_caught(&case(planner), "", |plan| {
                plan.steps.iter_mut().for_each(|step| change(&mut step.kernel, off, huber(0.501)));
            });
        }
    }
    // The value is right and the derivative is not: only what is propagated back is off.
    demand_caught(&case(Planner::LayerWise), "gradient", |plan| {
        let step = step(plan, "layers.0 delta");
        step.kernel = Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Delta { activation: off, apart: false } };
    });
}

/// Derivatives by wrong rules: another function's, a sign, a factor, a path or an order left out.
#[test]
fn a_wrong_derivative_is_caught() {
    const NAMES: [&str; 3] = ["x", "y", "z"];
    let compare = |value: &str, gradient: [&str; 3]| {
        let graph = Graph::new();
        let outputs = [value, gradient[0], gradient[1], gradient[2]].map(|text| graph.parse(text, &NAMES).unwrap());
        graphs::differences(&graph.function(&NAMES, &outputs).unwrap(), [0.75, 1.25, 0.5])
    };
    let cases = [
        ("exp(x)", ["exp(x)", "0", "0"], ["x * exp(x)", "0", "0"]),
        ("log(x)", ["1 / x", "0", "0"], ["1 / x^2", "0", "0"]),
        ("sqrt(x)", ["0.5 / sqrt(x)", "0", "0"], ["1 / sqrt(x)", "0", "0"]),
        ("sin(x)", ["cos(x)", "0", "0"], ["-cos(x)", "0", "0"]),
        ("cos(x)", ["-sin(x)", "0", "0"], ["sin(x)", "0", "0"]),
        ("tanh(x)", ["1 - tanh(x)^2", "0", "0"], ["1 - tanh(x)", "0", "0"]),
        ("sigmoid(x)", ["sigmoid(x) * (1 - sigmoid(x))", "0", "0"], ["sigmoid(x) * (1 - x)", "0", "0"]),
        ("softplus(x)", ["sigmoid(x)", "0", "0"], ["tanh(x)", "0", "0"]),
        ("erf(x)", ["2 / sqrt(pi) * exp(-x^2)", "0", "0"], ["1.1284 * exp(-x^2)", "0", "0"]),
        ("abs(-x) + relu(y)", ["1", "1", "0"], ["-1", "1", "0"]),
        ("x^3", ["3 * x^2", "0", "0"], ["3 * x^3", "0", "0"]),
        ("x^y", ["y * x^(y - 1)", "x^y * log(x)", "0"], ["y * x^(y - 1)", "x^y", "0"]),
        ("x * y * x", ["2 * x * y", "x^2", "0"], ["x * y", "x^2", "0"]),
        ("x / y - z", ["1 / y", "-x / y^2", "-1"], ["1 / y", "x / y^2", "-1"]),
        ("min(x, y) + max(x, z)", ["2", "0", "0"], ["1", "0", "1"]),
        ("select(x < y, x, z)", ["1", "0", "0"], ["0", "0", "1"]),
        ("x + y + z", ["1", "1", "1"], ["1", "1", "0"]),
    ];
    for (value, right, wrong) in cases {
        assert!(compare(value, right).unwrap().is_some(), "{value} was not compared");
        compare(value, wrong).expect_err(value);
    }
    // Next to a kink nothing is compared, and nothing is said to be right.
    assert!(compare("abs(x - 0.7501)", ["1", "0", "0"]).unwrap().is_none());
}

/// Each function that expressions call in a shader, by the ten-thousandth part wrong.
#[test]
fn a_wrong_shader_function_is_caught() {
    let gpu = common::gpu();
    let probes = Probe::operations(5).unwrap();
    let caught = |prelude: &str| graphs::check(&gpu, &probes, prelude).unwrap().iter().any(Result::is_err);
    assert!(!caught(PRELUDE));
    let functions: Vec<&str> = PRELUDE.lines().filter(|line| line.starts_with("fn ")).collect();
    assert!(functions.len() > 10);
    for line in functions {
        let (name, rest) = line["fn ".len()..].split_once('(').unwrap();
        let parameters = rest.split_once(')').unwrap().0;
        let arguments: Vec<&str> =
            parameters.split(", ").map(|parameter| parameter.split_once(':').unwrap().0).collect();
        let wrong = format!("fn {name}({parameters}) -> f32 {{ return 1.0001 * honest({}); }}\n", arguments.join(", "));
        let planted = PRELUDE.replace(&format!("fn {name}("), "fn honest(") + &wrong;
        assert!(caught(&planted), "{name} may be wrong");
    }
}

/// The guard bands work: the checker sees what lands beside an output.
#[test]
fn writing_beside_the_output_is_caught() {
    let kernel = Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Store };
    for device in devices() {
        let found = kernels::check(&device, &kernel, Variant::Naive, [3, 5, 4, 0], 0, &|plan| {
            plan.steps[0].bindings[2].range = 0..15;
        });
        let failure = found.unwrap().expect_err("stray writes passed");
        assert!(failure.contains("not its own"), "{failure}");
    }
}
