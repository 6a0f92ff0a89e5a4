use proptest::prelude::*;

use crate::graph::layout::{Arrow, Layout, Node, Point, Size, arrange};

/// Rounding of sums.
const SLACK: f64 = 0.001;

#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn new(at: Point, size: Size) -> Self {
        Self {
            left: at.x - size.width / 2.0,
            right: at.x + size.width / 2.0,
            top: at.y - size.height / 2.0,
            bottom: at.y + size.height / 2.0,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let apart = self.right <= other.left + SLACK
            || other.right <= self.left + SLACK
            || self.bottom <= other.top + SLACK
            || other.bottom <= self.top + SLACK;
        !apart
    }
}

fn graph() -> impl Strategy<Value = (Vec<Node>, Vec<Arrow>)> {
    let nodes = prop::collection::vec((0usize..5, 20u8..200), 1..12);
    let arrows = prop::collection::vec((0usize..12, 0usize..12, any::<bool>()), 0..25);
    (nodes, arrows).prop_map(|(nodes, arrows)| {
        let count = nodes.len();
        let nodes = nodes.into_iter().map(|(rank, width)| Node {
            rank,
            size: Size {
                width: width.into(),
                height: 46.0,
            },
        });
        let label = Size {
            width: 120.0,
            height: 30.0,
        };
        let arrows = arrows
            .into_iter()
            .map(|(from, to, labelled)| (from % count, to % count, labelled))
            .filter(|(from, to, _)| from != to)
            .map(|(from, to, labelled)| Arrow {
                from,
                to,
                label: labelled.then_some(label),
            });
        (nodes.collect(), arrows.collect())
    })
}

/// All nodes and labels.
fn areas(layout: &Layout, arrows: &[Arrow]) -> Vec<Area> {
    let labels = layout.arrows.iter().zip(arrows);
    let labels = labels.filter_map(|(path, arrow)| Some(Area::new(path.label, arrow.label?)));
    let nodes = layout.nodes.iter();
    nodes
        .map(|(at, size)| Area::new(*at, *size))
        .chain(labels)
        .collect()
}

proptest! {
    #[test]
    fn nodes_and_labels_never_overlap((nodes, arrows) in graph()) {
        let layout = arrange(&nodes, &arrows);
        let areas = areas(&layout, &arrows);
        for (index, area) in areas.iter().enumerate() {
            for other in &areas[..index] {
                prop_assert!(!area.overlaps(other), "{area:?} {other:?}");
            }
            let Size { width, height } = layout.size;
            let inside = area.left >= -SLACK && area.right <= width + SLACK
                && area.top >= -SLACK && area.bottom <= height + SLACK;
            prop_assert!(inside, "{area:?} is outside of {width} x {height}");
        }
    }

    #[test]
    fn arrows_begin_and_end_at_the_sides_of_their_nodes((nodes, arrows) in graph()) {
        let layout = arrange(&nodes, &arrows);
        for (path, arrow) in layout.arrows.iter().zip(&arrows) {
            for (point, node) in [(path.points.first(), arrow.from), (path.points.last(), arrow.to)] {
                let point = point.expect("an arrow has points");
                let (at, size) = layout.nodes[node];
                let area = Area::new(at, size);
                prop_assert!(point.y > area.top && point.y < area.bottom);
                let side = (point.x - area.left).abs().min((point.x - area.right).abs());
                prop_assert!(side < SLACK, "{point:?} {area:?}");
            }
        }
    }

    #[test]
    fn straight_parts_of_arrows_run_through_no_node((nodes, arrows) in graph()) {
        let layout = arrange(&nodes, &arrows);
        for path in &layout.arrows {
            for pair in path.points.windows(2).skip(1).step_by(2) {
                let line = Area {
                    left: pair[0].x.min(pair[1].x),
                    right: pair[0].x.max(pair[1].x),
                    top: pair[0].y,
                    bottom: pair[0].y,
                };
                for (at, size) in &layout.nodes {
                    prop_assert!(!line.overlaps(&Area::new(*at, *size)));
                }
            }
        }
    }
}
