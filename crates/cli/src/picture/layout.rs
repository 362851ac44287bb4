//! Where everything lies: nodes in layers from the left to the right, and between two layers of nodes one of labels. An edge
//! passes through a place of its own in every layer between its ends, so that nothing lies on anything else.
//!
//! The steps are those of Sugiyama, Tagawa and Toda, *Methods for Visual Understanding of Hierarchical System Structures*
//! (IEEE Transactions on Systems, Man, and Cybernetics 11, 1981): layers, an order within each by barycentres, coordinates.

/// Width and height.
pub type Size = [f64; 2];

/// A place, from the upper left corner.
pub type Point = [f64; 2];

/// What is laid out: nodes by their sizes, edges by their ends and the sizes of their labels.
pub struct Outline {
    pub nodes: Vec<Size>,
    pub edges: Vec<(usize, usize, Size)>,
}

/// Where it lies.
pub struct Layout {
    pub size: Size,
    /// The middle of each node.
    pub nodes: Vec<Point>,
    /// What each edge passes between its ends, from the left to the right.
    pub edges: Vec<Vec<Passage>>,
}

/// A horizontal part of an edge, as wide as its layer.
pub struct Passage {
    pub left: Point,
    pub right: Point,
    /// Whether the label stands here.
    pub labelled: bool,
}

/// Between two layers: room for an edge to change its height.
const BETWEEN_LAYERS: f64 = 26.0;

/// Between neighbours in a layer.
const BETWEEN_NEIGHBOURS: f64 = 14.0;

/// How often layers are gone through, to and fro. Even, so that heights end with a way from the left to the right.
const SWEEPS: usize = 30;

/// A node, or an edge in a layer that it passes.
struct Item {
    layer: usize,
    size: Size,
    before: Vec<usize>,
    behind: Vec<usize>,
}

/// Lays out a graph whose edges go from lower numbers to higher ones.
pub fn layout(outline: &Outline) -> Layout {
    let (items, passages) = items(outline);
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for item in in_reading_order(&items, outline.nodes.len()) {
        let layer = items[item].layer;
        layers.resize_with(layers.len().max(layer + 1), Vec::new);
        layers[layer].push(item);
    }
    uncross(&items, &mut layers);
    let heights = heights(&items, &layers);

    let mut columns = Vec::with_capacity(layers.len());
    let mut width = 0.0;
    for layer in &layers {
        let wide = layer.iter().map(|&item| items[item].size[0]).fold(0.0, f64::max);
        columns.push((width, width + wide));
        width += wide + BETWEEN_LAYERS;
    }
    let top = extreme(&items, |i| -(heights[i] - items[i].size[1] / 2.0));
    let bottom = extreme(&items, |i| heights[i] + items[i].size[1] / 2.0);
    let nodes = (0..outline.nodes.len()).map(|node| {
        let (left, right) = columns[items[node].layer];
        [(left + right) / 2.0, heights[node] + top]
    });
    let edges = passages.iter().map(|edge| {
        let passage = |&item: &usize| {
            let ((left, right), y) = (columns[items[item].layer], heights[item] + top);
            Passage { left: [left, y], right: [right, y], labelled: items[item].size[0] > 0.0 }
        };
        edge.iter().map(passage).collect()
    });
    let (nodes, edges) = (nodes.collect(), edges.collect());
    Layout { size: [width - BETWEEN_LAYERS, top + bottom], nodes, edges }
}

fn extreme(items: &[Item], of: impl Fn(usize) -> f64) -> f64 {
    (0..items.len()).map(of).fold(f64::NEG_INFINITY, f64::max)
}

/// The nodes, then what each edge passes: in every second layer, and the labels' layers, one behind each layer of nodes.
fn items(outline: &Outline) -> (Vec<Item>, Vec<Vec<usize>>) {
    let mut ranks = vec![0; outline.nodes.len()];
    for &(from, to, _) in &outline.edges {
        ranks[to] = ranks[to].max(ranks[from] + 1);
    }
    let item = |layer, size| Item { layer, size, before: Vec::new(), behind: Vec::new() };
    let mut items: Vec<Item> = outline.nodes.iter().zip(&ranks).map(|(&size, &rank)| item(2 * rank, size)).collect();
    let mut passages = Vec::new();
    for &(from, to, label) in &outline.edges {
        let (first, last) = (2 * ranks[from] + 1, 2 * ranks[to] - 1);
        let middle = first + (last - first) / 4 * 2;
        let passed: Vec<usize> = (first..=last).map(|layer| items.len() + layer - first).collect();
        items.extend((first..=last).map(|layer| item(layer, if layer == middle { label } else { [0.0, 0.0] })));
        let way: Vec<usize> = [from].into_iter().chain(passed.iter().copied()).chain([to]).collect();
        for ends in way.windows(2) {
            items[ends[0]].behind.push(ends[1]);
            items[ends[1]].before.push(ends[0]);
        }
        passages.push(passed);
    }
    (items, passages)
}

/// Operands in the order in which they are written, before what is computed from them: beginning from the last node.
fn in_reading_order(items: &[Item], nodes: usize) -> Vec<usize> {
    let mut seen = vec![false; items.len()];
    let mut order = Vec::with_capacity(items.len());
    for last in (0..nodes).rev() {
        let mut waiting = vec![last];
        while let Some(item) = waiting.pop() {
            if !std::mem::replace(&mut seen[item], true) {
                order.push(item);
                waiting.extend(items[item].before.iter().rev());
            }
        }
    }
    order
}

/// Orders each layer by the mean place of its neighbours as long as that leaves fewer crossings.
fn uncross(items: &[Item], layers: &mut Vec<Vec<usize>>) {
    let mut fewest = crossings(items, layers);
    for sweep in 0..SWEEPS {
        let mut tried = layers.clone();
        let mut place = places(items, &tried);
        let forward = sweep % 2 == 0;
        let count = tried.len();
        for step in 0..count {
            let layer = &mut tried[if forward { step } else { count - 1 - step }];
            let mean = |&item: &usize| {
                let neighbours = if forward { &items[item].before } else { &items[item].behind };
                match neighbours.len() {
                    0 => place[item],
                    n => neighbours.iter().map(|&other| place[other]).sum::<f64>() / n as f64,
                }
            };
            let mut keyed: Vec<(f64, usize)> = layer.iter().map(|item| (mean(item), *item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *layer = keyed.into_iter().map(|(_, item)| item).collect();
            layer.iter().enumerate().for_each(|(i, &item)| place[item] = i as f64);
        }
        let left = crossings(items, &tried);
        if left < fewest {
            (fewest, *layers) = (left, tried);
        }
    }
}

fn places(items: &[Item], layers: &[Vec<usize>]) -> Vec<f64> {
    let mut places = vec![0.0; items.len()];
    for layer in layers {
        layer.iter().enumerate().for_each(|(i, &item)| places[item] = i as f64);
    }
    places
}

/// Pairs of edges between neighbouring layers whose ends lie in opposite orders.
fn crossings(items: &[Item], layers: &[Vec<usize>]) -> usize {
    let places = places(items, layers);
    let of_layer = |layer: &Vec<usize>| {
        let mut ends: Vec<f64> = Vec::new();
        let mut crossings = 0;
        for &item in layer {
            let from_here: Vec<f64> = items[item].behind.iter().map(|&next| places[next]).collect();
            for &end in &from_here {
                crossings += ends.len() - ends.partition_point(|&other| other <= end);
            }
            for end in from_here {
                ends.insert(ends.partition_point(|&other| other <= end), end);
            }
        }
        crossings
    };
    layers.iter().map(of_layer).sum()
}

/// How far down the middle of each item lies: near its neighbours; at last, as near as can be to what it comes from, which
/// makes edges straight up to where they arrive.
fn heights(items: &[Item], layers: &[Vec<usize>]) -> Vec<f64> {
    let mut heights = vec![0.0; items.len()];
    let mean = |heights: &[f64], neighbours: &mut dyn Iterator<Item = usize>, otherwise: f64| {
        let (sum, count) = neighbours.fold((0.0, 0.0), |(sum, count), item| (sum + heights[item], count + 1.0));
        if count == 0.0 { otherwise } else { sum / count }
    };
    for sweep in 0..=SWEEPS {
        let count = layers.len();
        for step in 0..count {
            let layer = &layers[if sweep % 2 == 0 { step } else { count - 1 - step }];
            let wanted = |&item: &usize| {
                let Item { before, behind, .. } = &items[item];
                let behind = if sweep == SWEEPS { &[] } else { &behind[..] };
                mean(&heights, &mut before.iter().chain(behind).copied(), heights[item])
            };
            let wanted: Vec<f64> = layer.iter().map(wanted).collect();
            settle(items, layer, &wanted, &mut heights);
        }
    }
    heights
}

/// Gives a layer the heights nearest to the wanted ones, by their squares, that leave room between neighbours: a regression
/// onto a sequence that never falls, by pooling neighbours that violate it.
fn settle(items: &[Item], layer: &[usize], wanted: &[f64], heights: &mut [f64]) {
    let mut offsets = vec![0.0; layer.len()];
    for i in 1..layer.len() {
        let room = (items[layer[i - 1]].size[1] + items[layer[i]].size[1]) / 2.0 + BETWEEN_NEIGHBOURS;
        offsets[i] = offsets[i - 1] + room;
    }
    // Each pool: the sum of what it holds, and how many that are.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (height, offset) in wanted.iter().zip(&offsets) {
        let mut pool = (height - offset, 1);
        while let Some(&(sum, count)) = pools.last()
            && sum / count as f64 > pool.0 / pool.1 as f64
        {
            pools.pop();
            pool = (sum + pool.0, count + pool.1);
        }
        pools.push(pool);
    }
    let settled = pools.iter().flat_map(|&(sum, count)| std::iter::repeat_n(sum / count as f64, count));
    for ((&item, offset), mean) in layer.iter().zip(offsets).zip(settled) {
        heights[item] = mean + offset;
    }
}
