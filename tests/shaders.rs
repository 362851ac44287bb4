//! Every shader of every kernel and variant, without a GPU: it is valid WGSL, declares what the host binds, stays within
//! WebGPU's default limits, and translates to the languages of the back ends that are not at hand.
#![allow(clippy::panic)] // a test says what failed by panicking

use naga::back::{glsl, hlsl, msl, spv};
use naga::front::wgsl;
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess};
use wgrad::check::Functions;
use wgrad::check::graphs::{self, Probe};
use wgrad::graph::{Function, PRELUDE};
use wgrad::kernel::{Abilities, Access, BindingSpec, Cooperative, Kernel, Load, Mixed, Uniform, Variant};

/// Whether all decimal numbers of a text are f32. Naga rounds what is a little larger than the largest one, written with
/// eight digits; other compilers refuse it.
fn numbers_are_f32(wgsl: &str) -> bool {
    let mut tokens = wgsl.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    tokens.all(|token| {
        let number = token.trim_end_matches(['f', 'h', 'u', 'i']).parse::<f64>();
        !token.starts_with(|c: char| c.is_ascii_digit()) || number.map_or(true, |number| number <= f64::from(f32::MAX))
    })
}

#[test]
fn a_number_too_large_is_noticed() {
    assert!(numbers_are_f32("let x = 0x7f7fffffu; var y = -3.4028234e38; z = 1e-45f * a[7u].x;"));
    assert!(!numbers_are_f32("var y = -3.4028235e38;") && !numbers_are_f32("1e39f"));
}

fn every_shader() -> Vec<(Kernel, Variant, Module, ModuleInfo)> {
    let mut all = Vec::new();
    let samples = Functions::samples().expect("the samples are expressions");
    for kernel in Kernel::all().into_iter().chain(samples.iter().flat_map(Functions::kernels)) {
        // Without subgroups, and with those of a software rasteriser, an NVIDIA and an AMD GPU.
        let mut abilities = vec![Abilities::default()];
        abilities.extend([Load::Vector, Load::Pairs].map(Abilities::of_software));
        abilities.extend([32, 64].map(Abilities::of_subgroup));
        let mut variants: Vec<_> = abilities.into_iter().flat_map(|able| kernel.variants(able)).collect();
        let matrices = [(16, 32), (16, 64), (8, 32), (8, 16)].map(|(size, lanes)| Cooperative::new(size, lanes));
        match &kernel {
            Kernel::Mixed(Mixed::Matmul { .. }) => {
                variants.extend(matrices.map(Variant::Cooperative));
                variants.extend(matrices.map(|matrices| Variant::Cooperative(matrices.on_vectors())));
                variants.push(Variant::Cooperative(Cooperative::new(16, 32).enlarged().on_vectors()));
            }
            Kernel::Fused(fused) if fused.takes_matrices() => {
                variants.extend(matrices.map(Variant::Cooperative));
                variants.push(Variant::Cooperative(Cooperative::new(16, 32).enlarged()));
            }
            _ => {}
        }
        variants.sort_by_key(|variant| variant.to_string());
        variants.dedup();
        for variant in variants {
            // No capability beyond plain WebGPU: these are the texts that run everywhere.
            let (capabilities, stages) = match variant {
                Variant::Broadcast(_) => (Capabilities::SUBGROUP, ShaderStages::COMPUTE),
                _ => (Capabilities::empty(), ShaderStages::empty()),
            };
            let half = if kernel.needs_half() { Capabilities::SHADER_FLOAT16 } else { Capabilities::empty() };
            let matrices = match needs_matrices(variant) {
                true => Capabilities::COOPERATIVE_MATRIX,
                false => Capabilities::empty(),
            };
            let pairs = match variant {
                Variant::Broadcast(broadcast) if broadcast.load == Load::Pairs => Capabilities::SHADER_INT64,
                _ => Capabilities::empty(),
            };
            // A text may enable no more than the device has on which it is used, either.
            let capabilities = capabilities | half | matrices | pairs;
            let wgsl = kernel.wgsl(variant);
            assert!(numbers_are_f32(&wgsl), "{kernel} {variant}: a number is beyond f32:\n{wgsl}");
            let module = wgsl::Frontend::new_with_options(wgsl::Options { capabilities, ..wgsl::Options::new() })
                .parse(&wgsl)
                .unwrap_or_else(|e| panic!("{kernel} {variant}: {}", e.emit_to_string(&wgsl)));
            let info = Validator::new(ValidationFlags::all(), capabilities)
                .subgroup_stages(stages)
                .subgroup_operations(SubgroupOperationSet::all())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{kernel} {variant}: {}", e.emit_to_string(&wgsl)));
            all.push((kernel.clone(), variant, module, info));
        }
    }
    assert!(all.len() > 300, "the registry lists only {} shaders", all.len());
    all
}

fn needs_matrices(variant: Variant) -> bool {
    matches!(variant, Variant::Cooperative(matrices) if !matrices.emulated)
}

/// The bindings as the shader declares them, all but the first, in the order of their numbers.
fn declared(module: &Module) -> Vec<(u32, String, Access)> {
    let mut found: Vec<_> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let binding = variable.binding.as_ref()?;
            assert_eq!(binding.group, 0);
            let access = match variable.space {
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Access::Write,
                AddressSpace::Storage { .. } => Access::Read,
                _ => Access::Constant,
            };
            (binding.binding > 0).then(|| (binding.binding, variable.name.clone().unwrap_or_default(), access))
        })
        .collect();
    found.sort_by_key(|(index, ..)| *index);
    found
}

#[test]
fn shaders_declare_what_the_host_binds() {
    for (kernel, variant, module, _) in every_shader() {
        let mut host: Vec<_> =
            kernel.bindings().iter().map(|b: &BindingSpec| (b.index, b.name.to_owned(), b.access)).collect();
        host.sort_by_key(|(index, ..)| *index);
        assert_eq!(declared(&module), host, "{kernel} {variant}");

        let first = |v: &naga::GlobalVariable| v.binding.as_ref().is_some_and(|binding| binding.binding == 0);
        let uniform = module.global_variables.iter().find(|(_, v)| v.space == AddressSpace::Uniform && first(v));
        let (_, uniform) = uniform.unwrap_or_else(|| panic!("{kernel} {variant} has no uniform"));
        let size = module.types[uniform.ty].inner.size(module.to_ctx());
        assert_eq!(size as usize, size_of::<Uniform>(), "{kernel} {variant}");
    }
}

#[test]
fn shaders_stay_within_webgpus_default_limits() {
    for (kernel, variant, module, _) in every_shader() {
        let invocations: u32 = module.entry_points[0].workgroup_size.iter().product();
        assert!(invocations <= 256, "{kernel} {variant}: {invocations} invocations");
        let workgroup: u32 = module
            .global_variables
            .iter()
            .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
            .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
            .sum();
        // Enlarged tiles are offered where the adapter has the memory that they say they take.
        let allowed = match variant {
            Variant::Cooperative(matrices) if matrices.is_enlarged() => matrices.workgroup_bytes(),
            _ => 16 << 10,
        };
        assert!(workgroup <= allowed, "{kernel} {variant}: {workgroup} bytes of workgroup memory");
        let storage = kernel.bindings().iter().filter(|spec| spec.access != Access::Constant).count();
        assert!(storage <= 8, "{kernel} {variant}: {storage} storage buffers");
    }
}

/// What FXC, which is not at hand, takes for a barrier that not all invocations come to.
#[test]
fn what_fxc_refuses_stays_out() {
    let mut seen = [0, 0];
    for kernel in Kernel::all() {
        let wgsl = kernel.wgsl(Variant::Naive);
        match kernel {
            Kernel::Resident(_) => {
                seen[0] += 1;
                assert!(!wgsl.contains("workgroupBarrier"), "{kernel}: one invocation waits for itself:\n{wgsl}");
            }
            Kernel::Fused(_) => {
                seen[1] += 1;
                for name in ["activate", "derivative"] {
                    let (_, rest) = wgsl.split_once(&format!("fn {name}(")).expect("the function");
                    let (body, _) = rest.split_once("\n}").expect("its end");
                    assert!(!body.contains("switch") && !body.contains("if "), "{kernel}: {name} branches: {body}");
                }
            }
            _ => {}
        }
    }
    assert!(seen.iter().all(|&count| count > 5), "{seen:?} resident and fused kernels");
}

/// DXC 1.7, which is not at hand, crashes where a number of a matrix is taken out of what a function returned. Emulated
/// cooperative matrices are matrices, and pass it.
#[test]
fn what_dxc_crashes_on_stays_out() {
    let mut seen = 0;
    for kernel in Kernel::all() {
        let plain = kernel.variants(Abilities::default()).into_iter();
        for variant in plain.filter(|variant| !matches!(variant, Variant::Cooperative(_))) {
            seen += 1;
            assert!(!kernel.wgsl(variant).contains("mat4x4<"), "{kernel} {variant} has a matrix");
        }
    }
    assert!(seen > 500, "{seen} texts");
}

/// Translates a module to the language of Vulkan and to that of Metal.
fn to_spirv_and_msl(what: &str, module: &Module, info: &ModuleInfo) {
    // The versions in which a language knows subgroups.
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    let words = spv::write_vec(module, info, &options, None).unwrap_or_else(|e| panic!("{what} to SPIR-V: {e}"));
    assert_eq!(words[0], 0x0723_0203, "{what} to SPIR-V");

    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..msl::Options::default() };
    let (text, _) = msl::write_string(module, info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|e| panic!("{what} to MSL: {e}"));
    assert!(text.contains("kernel void"), "{what} to MSL");
}

/// Translates a module to the language of DirectX 12.
fn to_hlsl(what: &str, module: &Module, info: &ModuleInfo, shader_model: hlsl::ShaderModel) {
    let mut text = String::new();
    let options = hlsl::Options { shader_model, fake_missing_bindings: true, ..hlsl::Options::default() };
    hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
        .write(module, info, None)
        .unwrap_or_else(|e| panic!("{what} to HLSL: {e}"));
    assert!(text.contains("numthreads"), "{what} to HLSL");
    // naga writes a function for the zero of a type, and a second one where two functions need it.
    let is_function = |line: &&str| line.starts_with(char::is_alphabetic) && line.contains('(') && !line.ends_with(';');
    let mut functions: Vec<_> = text.lines().filter(is_function).collect();
    let count = functions.len();
    functions.sort_unstable();
    functions.dedup();
    assert!(count > 0 && functions.len() == count, "{what} to HLSL: a function is defined twice");
}

/// Translates a module to the language of OpenGL.
fn to_glsl(what: &str, module: &Module, info: &ModuleInfo) {
    let mut text = String::new();
    let options = glsl::Options { version: glsl::Version::new_gles(310), ..glsl::Options::default() };
    let pipeline =
        glsl::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into(), multiview: None };
    glsl::Writer::new(&mut text, module, info, &options, &pipeline, Default::default())
        .and_then(|mut writer| writer.write())
        .unwrap_or_else(|e| panic!("{what} to GLSL: {e}"));
    assert!(text.contains("local_size_x"), "{what} to GLSL");
}

#[test]
fn shaders_translate_to_spirv_msl_hlsl_and_glsl() {
    for (kernel, variant, module, info) in every_shader() {
        let what = format!("{kernel} {variant}");
        to_spirv_and_msl(&what, &module, &info);
        if needs_matrices(variant) {
            continue; // naga writes cooperative matrices for Vulkan and Metal only
        }
        let model = if kernel.needs_half() { hlsl::ShaderModel::V6_2 } else { hlsl::ShaderModel::V6_0 };
        to_hlsl(&what, &module, &info, model);
        if matches!(variant, Variant::Broadcast(_)) || kernel.needs_half() {
            continue; // OpenGL has neither subgroups nor f16
        }
        to_glsl(&what, &module, &info);
    }
}

/// Every operation, and random expressions with their derivatives.
#[test]
fn expressions_translate_too() {
    let random = (0..300).map(|number| Probe::draw(0, number).expect("a probe").function).collect::<Vec<_>>();
    let operations = Probe::operations(0).expect("probes").into_iter().map(|probe| probe.function).collect::<Vec<_>>();
    let together = |functions: &[Function]| graphs::wgsl(&functions.iter().collect::<Vec<_>>(), 8, PRELUDE);
    for (i, wgsl) in random.chunks(20).map(together).chain([together(&operations)]).enumerate() {
        let what = format!("expressions {i}");
        let module = wgsl::parse_str(&wgsl).unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(&wgsl)));
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(&wgsl)));
        to_spirv_and_msl(&what, &module, &info);
        to_hlsl(&what, &module, &info, hlsl::ShaderModel::V6_0);
        to_glsl(&what, &module, &info);
    }
}

#[test]
fn a_wrong_declaration_is_noticed() {
    let kernel = Kernel::ColumnSum;
    let wgsl = kernel.wgsl(Variant::Naive);
    let host: Vec<_> = kernel.bindings().iter().map(|b| (b.index, b.name.to_owned(), b.access)).collect();
    for (right, wrong) in [("@binding(2)", "@binding(5)"), ("read_write", "read"), ("matrix", "rows")] {
        let planted = wgsl.replace(right, wrong);
        assert_ne!(planted, wgsl, "{right} does not occur");
        let module = wgsl::parse_str(&planted).expect("still parses");
        assert_ne!(declared(&module), host, "{wrong} instead of {right} passed");
    }
}
