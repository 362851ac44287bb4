//! The confusion matrix.

use super::{Chart, Drawn, LIGHT, Pen, cut};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// How many rows of each class were taken for which class.
pub struct Confusion {
    pub title: String,
    pub classes: Vec<String>,
    /// `counts[i][j]` rows of class `i` were taken for class `j`.
    pub counts: Vec<Vec<usize>>,
}

/// Of more classes neither names nor counts could be read.
const NAMED: usize = 30;

impl Confusion {
    fn cell(&self) -> u32 {
        (480 / self.classes.len().max(1) as u32).clamp(2, 64)
    }

    /// Room for the names of the classes, left of the matrix and below it.
    fn margin(&self) -> u32 {
        let longest = self.classes.iter().map(|class| class.chars().count().min(14)).max().unwrap_or(0) as u32;
        if self.classes.len() > NAMED { 34 } else { 40 + 7 * longest }
    }
}

impl Chart for Confusion {
    fn size(&self) -> (u32, u32) {
        let side = self.cell() * self.classes.len() as u32;
        ((side + self.margin() + 20).max(300), side + self.margin() + 48)
    }

    fn draw<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pen: Pen) -> Drawn<DB> {
        let (cell, left, top) = (pen.px(self.cell()) as i32, pen.px(self.margin()) as i32, pen.px(40) as i32);
        let side = cell * self.classes.len() as i32;
        let size = (self.cell() / 3).clamp(7, 14);
        area.draw_text(
            &cut(&self.title, 60),
            &pen.text(17, &LIGHT.ink).pos(Pos::new(HPos::Left, VPos::Top)),
            (pen.px(12) as i32, pen.px(10) as i32),
        )?;
        for (i, row) in self.counts.iter().enumerate() {
            let sum = row.iter().sum::<usize>().max(1) as f64;
            for (j, &count) in row.iter().enumerate() {
                let (x, y) = (left + j as i32 * cell, top + i as i32 * cell);
                let share = count as f64 / sum;
                let corners = [(x, y), (x + cell, y + cell)];
                area.draw(&Rectangle::new(corners, LIGHT.grid.mix(0.45).filled()))?;
                if count > 0 {
                    // The right answers in one colour, the wrong ones in another.
                    let colour = pen.series(usize::from(i != j)).mix(0.15 + 0.75 * share);
                    area.draw(&Rectangle::new(corners, colour.filled()))?;
                }
                if self.classes.len() <= NAMED && count > 0 {
                    let ink = if share > 0.45 { WHITE } else { LIGHT.ink };
                    let at = (x + cell / 2, y + cell / 2);
                    let centred = pen.text(size, &ink).pos(Pos::new(HPos::Center, VPos::Center));
                    area.draw_text(&count.to_string(), &centred, at)?;
                }
            }
        }
        let frame = Rectangle::new([(left, top), (left + side, top + side)], LIGHT.muted.stroke_width(pen.px(1)));
        area.draw(&frame)?;
        if self.classes.len() <= NAMED {
            for (i, class) in self.classes.iter().enumerate() {
                let middle = i as i32 * cell + cell / 2;
                let style = pen.text(size.max(9), &LIGHT.muted);
                let beside = style.pos(Pos::new(HPos::Right, VPos::Center));
                area.draw_text(&cut(class, 14), &beside, (left - pen.px(6) as i32, top + middle))?;
                // Below, text is read from the bottom to the top where it would not fit a cell.
                let wide = class.chars().count() as u32 * 8 > self.cell();
                let (style, gap) = match wide {
                    true => {
                        let turned = ("sans-serif", pen.px(size.max(9))).into_font();
                        let turned = TextStyle::from(turned.transform(FontTransform::Rotate270)).color(&LIGHT.muted);
                        (turned.pos(Pos::new(HPos::Right, VPos::Center)), 6)
                    }
                    false => (pen.text(size.max(9), &LIGHT.muted).pos(Pos::new(HPos::Center, VPos::Top)), 6),
                };
                area.draw_text(&cut(class, 14), &style, (left + middle, top + side + pen.px(gap) as i32))?;
            }
        }
        let named = pen.text(13, &LIGHT.ink);
        let bottom = top + side + pen.px(self.margin() - 8) as i32;
        area.draw_text("answer", &named.pos(Pos::new(HPos::Center, VPos::Bottom)), (left + side / 2, bottom))?;
        let turned = ("sans-serif", pen.px(13)).into_font().transform(FontTransform::Rotate270);
        let turned = TextStyle::from(turned).color(&LIGHT.ink).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw_text("class", &turned, (pen.px(10) as i32, top + side / 2))
    }
}
