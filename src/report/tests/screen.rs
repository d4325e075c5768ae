//! A terminal that can be read: as much of one as bars need.

use indicatif::TermLike;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

const WIDTH: usize = 110;

#[derive(Debug, Clone, Default)]
pub(super) struct Screen(Arc<Mutex<Grid>>);

#[derive(Debug, Default)]
struct Grid {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    /// Lines that are not empty, without the spinner in front, which turns.
    pub(super) fn rows(&self) -> Vec<String> {
        let line = |row: &Vec<char>| row.iter().skip(2).collect::<String>().trim_end().to_owned();
        self.grid().rows.iter().map(line).filter(|l| !l.is_empty()).collect()
    }

    fn grid(&self) -> MutexGuard<'_, Grid> {
        self.0.lock().unwrap()
    }
}

impl Grid {
    fn put(&mut self, c: char) {
        match c {
            '\r' => self.column = 0,
            '\n' => (self.row, self.column) = (self.row + 1, 0),
            _ => {
                if self.column == WIDTH {
                    (self.row, self.column) = (self.row + 1, 0);
                }
                while self.rows.len() <= self.row {
                    self.rows.push(vec![' '; WIDTH]);
                }
                self.rows[self.row][self.column] = c;
                self.column += 1;
            }
        }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        u16::try_from(WIDTH).unwrap()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        let mut grid = self.grid();
        grid.row = grid.row.saturating_sub(n);
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.grid().row += n;
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.grid().column += n;
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        let mut grid = self.grid();
        grid.column = grid.column.saturating_sub(n);
        Ok(())
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.write_str(s)?;
        self.write_str("\n")
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        let mut grid = self.grid();
        s.chars().for_each(|c| grid.put(c));
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        let mut grid = self.grid();
        let row = grid.row;
        if let Some(line) = grid.rows.get_mut(row) {
            line.fill(' ');
        }
        grid.column = 0;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
