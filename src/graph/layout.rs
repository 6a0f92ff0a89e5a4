//! A layered layout, after Sugiyama, Tagawa and Toda (1981): nodes in columns by rank, and between any two columns one for the labels
//! of the arrows. Whatever crosses a column has a place of its own in it, so that no arrow runs through a node or a label.
//!
//! Pure numbers, in pixels; what is drawn there is not known here. No input panics, given ranks and ends that exist.

use std::cmp::Ordering;

/// Rounds in which columns are put in order, and in which heights are evened out. More change next to nothing.
const ROUNDS: usize = 12;
/// Between neighbours in a column.
const GAP_Y: f64 = 16.0;
/// Between columns, for arrows to bend.
const GAP_X: f64 = 44.0;
/// What an arrow takes in a column that it only crosses.
const CROSSING_HEIGHT: f64 = 8.0;
/// Between arrows at one side of a node.
const PORT_GAP: f64 = 14.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) rank: usize,
    /// At least this; it grows with the arrows at its sides.
    pub(super) size: Size,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Option<Size>,
}

pub(super) struct Layout {
    pub(super) size: Size,
    /// The nodes' middles, and the sizes that they have become.
    pub(super) nodes: Vec<(Point, Size)>,
    pub(super) arrows: Vec<Path>,
}

pub(super) struct Path {
    /// From the one end to the other: bent from the first point to the second, straight to the third, and so on.
    pub(super) points: Vec<Point>,
    /// The label's middle.
    pub(super) label: Point,
}

/// What takes a place in a column: a node, a label or a crossing.
struct Vertex {
    column: usize,
    size: Size,
    y: f64,
    neighbours: Vec<usize>,
}

/// An arrow's vertices from left to right, with its label's.
struct Chain {
    vertices: Vec<usize>,
    label: usize,
    backwards: bool,
}

struct Column {
    vertices: Vec<usize>,
    x: f64,
    width: f64,
}

pub(super) fn arrange(nodes: &[Node], arrows: &[Arrow]) -> Layout {
    let mut vertices = of_nodes(nodes, arrows);
    let chains: Vec<Chain> = arrows
        .iter()
        .map(|arrow| chain(&mut vertices, nodes, arrow))
        .collect();
    let mut columns = columns(&vertices);
    put_in_order(&mut vertices, &mut columns);
    even_out(&mut vertices, &columns);
    let top = |vertex: &Vertex| vertex.y - vertex.size.height / 2.0;
    let above = vertices.iter().map(top).fold(f64::INFINITY, f64::min);
    for vertex in &mut vertices {
        vertex.y -= above;
    }
    let bottom = |vertex: &Vertex| vertex.y + vertex.size.height / 2.0;
    let height = vertices.iter().map(bottom).fold(0.0, f64::max);
    let width = columns.last().map_or(0.0, |column| column.x + column.width);
    let middle = |vertex: &Vertex| Point {
        x: columns[vertex.column].x + columns[vertex.column].width / 2.0,
        y: vertex.y,
    };
    Layout {
        size: Size { width, height },
        nodes: vertices[..nodes.len()]
            .iter()
            .map(|vertex| (middle(vertex), vertex.size))
            .collect(),
        arrows: paths(&vertices, &columns, &chains, nodes.len())
            .into_iter()
            .zip(&chains)
            .map(|(points, chain)| Path {
                points,
                label: middle(&vertices[chain.label]),
            })
            .collect(),
    }
}

fn of_nodes(nodes: &[Node], arrows: &[Arrow]) -> Vec<Vertex> {
    // Arrows at the left and at the right of each node.
    let mut sides = vec![(0u32, 0u32); nodes.len()];
    for arrow in arrows {
        let (from, to) = (nodes[arrow.from].rank, nodes[arrow.to].rank);
        match from.cmp(&to) {
            Ordering::Less => {
                sides[arrow.from].1 += 1;
                sides[arrow.to].0 += 1;
            }
            Ordering::Greater => {
                sides[arrow.from].0 += 1;
                sides[arrow.to].1 += 1;
            }
            Ordering::Equal => {
                sides[arrow.from].1 += 1;
                sides[arrow.to].1 += 1;
            }
        }
    }
    let vertex = |(node, (left, right)): (&Node, (u32, u32))| Vertex {
        column: node.rank * 2,
        size: Size {
            height: node
                .size
                .height
                .max(f64::from(left.max(right)) * PORT_GAP + 10.0),
            ..node.size
        },
        y: 0.0,
        neighbours: Vec::new(),
    };
    nodes.iter().zip(sides).map(vertex).collect()
}

/// Adds the vertices of an arrow between its ends.
fn chain(vertices: &mut Vec<Vertex>, nodes: &[Node], arrow: &Arrow) -> Chain {
    let (from, to) = (nodes[arrow.from].rank, nodes[arrow.to].rank);
    let backwards = from > to;
    let (low, high) = (from.min(to), from.max(to));
    let (first, last) = if backwards {
        (arrow.to, arrow.from)
    } else {
        (arrow.from, arrow.to)
    };
    let labelled = low + high.saturating_sub(low + 1) / 2;
    let crossed = if low == high {
        low * 2 + 1..low * 2 + 2
    } else {
        low * 2 + 1..high * 2
    };
    let mut chain = Chain {
        vertices: vec![first],
        label: first,
        backwards,
    };
    for column in crossed {
        let label = (column == labelled * 2 + 1)
            .then_some(arrow.label)
            .flatten();
        let crossing = Size {
            width: 0.0,
            height: CROSSING_HEIGHT,
        };
        if column == labelled * 2 + 1 {
            chain.label = vertices.len();
        }
        chain.vertices.push(vertices.len());
        vertices.push(Vertex {
            column,
            size: label.unwrap_or(crossing),
            y: 0.0,
            neighbours: Vec::new(),
        });
    }
    chain.vertices.push(last);
    for pair in chain.vertices.windows(2) {
        vertices[pair[0]].neighbours.push(pair[1]);
        vertices[pair[1]].neighbours.push(pair[0]);
    }
    chain
}

fn columns(vertices: &[Vertex]) -> Vec<Column> {
    let count = vertices.iter().map(|vertex| vertex.column + 1).max();
    let mut columns: Vec<Column> = (0..count.unwrap_or_default())
        .map(|_| Column {
            vertices: Vec::new(),
            x: 0.0,
            width: 0.0,
        })
        .collect();
    for (index, vertex) in vertices.iter().enumerate() {
        let column = &mut columns[vertex.column];
        column.vertices.push(index);
        column.width = column.width.max(vertex.size.width);
    }
    let mut x = 0.0;
    for column in &mut columns {
        column.x = x;
        x += column.width + GAP_X;
    }
    columns
}

/// Orders each column by the mean place of the neighbours, back and forth.
fn put_in_order(vertices: &mut [Vertex], columns: &mut [Column]) {
    for column in columns.iter() {
        stack(vertices, column);
    }
    for round in 0..ROUNDS {
        for step in 0..columns.len() {
            let index = if round % 2 == 0 {
                step
            } else {
                columns.len() - 1 - step
            };
            let column = &mut columns[index];
            let mut keyed: Vec<(f64, usize)> = column
                .vertices
                .iter()
                .map(|vertex| (wanted(vertices, *vertex), *vertex))
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            column.vertices = keyed.into_iter().map(|(_, vertex)| vertex).collect();
            stack(vertices, column);
        }
    }
}

/// Puts a column's vertices below one another, around the middle line.
fn stack(vertices: &mut [Vertex], column: &Column) {
    let heights = column
        .vertices
        .iter()
        .map(|index| vertices[*index].size.height + GAP_Y);
    let mut y = -heights.sum::<f64>() / 2.0;
    for index in &column.vertices {
        let vertex = &mut vertices[*index];
        let height = vertex.size.height + GAP_Y;
        vertex.y = y + height / 2.0;
        y += height;
    }
}

/// The mean height of a vertex's neighbours.
fn wanted(vertices: &[Vertex], index: usize) -> f64 {
    let vertex = &vertices[index];
    let mut sum = 0.0;
    let mut count = 0.0;
    for neighbour in &vertex.neighbours {
        sum += vertices[*neighbour].y;
        count += 1.0;
    }
    if count > 0.0 { sum / count } else { vertex.y }
}

/// Moves vertices towards their neighbours' heights without changing their order.
fn even_out(vertices: &mut [Vertex], columns: &[Column]) {
    for round in 0..ROUNDS {
        for step in 0..columns.len() {
            let index = if round % 2 == 0 {
                step
            } else {
                columns.len() - 1 - step
            };
            settle(vertices, &columns[index]);
        }
    }
}

/// Places that come nearest to the wanted ones, in the least squares, with the gaps kept: pool adjacent violators.
fn settle(vertices: &mut [Vertex], column: &Column) {
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(column.vertices.len());
    let mut pools: Vec<(f64, f64)> = Vec::new();
    let mut previous: Option<f64> = None;
    for index in &column.vertices {
        let height = vertices[*index].size.height;
        offset += previous.map_or(0.0, |previous| (previous + height) / 2.0 + GAP_Y);
        previous = Some(height);
        offsets.push(offset);
        let mut pool = (wanted(vertices, *index) - offset, 1.0);
        while let Some((mean, count)) = pools.pop_if(|(mean, _)| *mean >= pool.0) {
            let together = count + pool.1;
            pool = ((mean * count + pool.0 * pool.1) / together, together);
        }
        pools.push(pool);
    }
    let means = pools
        .iter()
        .flat_map(|(mean, count)| std::iter::repeat_n(*mean, *count as usize));
    for ((index, offset), mean) in column.vertices.iter().zip(offsets).zip(means) {
        vertices[*index].y = mean + offset;
    }
}

/// The points of each arrow, with its ends spread over the sides of the nodes.
fn paths(
    vertices: &[Vertex],
    columns: &[Column],
    chains: &[Chain],
    nodes: usize,
) -> Vec<Vec<Point>> {
    // The ends at the left and at the right of each node: where they lead, whose they are, and which end.
    let mut sides: Vec<[Vec<(f64, usize, bool)>; 2]> =
        (0..nodes).map(|_| [Vec::new(), Vec::new()]).collect();
    for (index, chain) in chains.iter().enumerate() {
        let [first, second, .., before, last] = chain.vertices.as_slice() else {
            let [first, middle, last] = chain.vertices.as_slice() else {
                unreachable!("there is a column of labels between any two nodes");
            };
            let right = usize::from(vertices[*last].column < vertices[*middle].column);
            sides[*first][1].push((vertices[*middle].y, index, true));
            sides[*last][right].push((vertices[*middle].y, index, false));
            continue;
        };
        sides[*first][1].push((vertices[*second].y, index, true));
        sides[*last][0].push((vertices[*before].y, index, false));
    }
    let mut ends = vec![[0.0; 2]; chains.len()];
    for (node, sides) in sides.iter_mut().enumerate() {
        for side in sides {
            side.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut y = vertices[node].y - PORT_GAP * (side.len() as f64 - 1.0) / 2.0;
            for (_, chain, first) in side {
                ends[*chain][usize::from(!*first)] = y;
                y += PORT_GAP;
            }
        }
    }
    let path = |(chain, [first_y, last_y]): (&Chain, [f64; 2])| {
        let [first, middle @ .., last] = chain.vertices.as_slice() else {
            unreachable!("an arrow has two ends");
        };
        let edge = |vertex: usize, right: bool, y| {
            let vertex = &vertices[vertex];
            let column = &columns[vertex.column];
            let middle = column.x + column.width / 2.0;
            let half = vertex.size.width / 2.0;
            Point {
                x: if right { middle + half } else { middle - half },
                y,
            }
        };
        let across = |index: &usize| {
            let vertex = &vertices[*index];
            let column = &columns[vertex.column];
            [column.x, column.x + column.width].map(|x| Point { x, y: vertex.y })
        };
        let sideways = vertices[*first].column == vertices[*last].column;
        let mut points = vec![edge(*first, true, first_y)];
        if sideways {
            let turn = middle
                .first()
                .map(|index| edge(*index, false, vertices[*index].y));
            points.extend(turn.into_iter().flat_map(|turn| [turn, turn]));
        } else {
            points.extend(middle.iter().flat_map(across));
        }
        points.push(edge(*last, sideways, last_y));
        if chain.backwards {
            points.reverse();
        }
        points
    };
    chains.iter().zip(ends).map(path).collect()
}
