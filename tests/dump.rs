use wgrad::kernel::Kernel;
#[test]
fn dump() {
    let k = Kernel::all().into_iter().find(|k| k.stem() == "fused").unwrap();
    for v in k.variants(Some(8)) { std::fs::write(format!("/tmp/p/fused_{v}.wgsl"), k.wgsl(v)).unwrap(); }
}
