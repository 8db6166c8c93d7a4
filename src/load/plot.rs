//! Percentile curves as SVG: the latency that a share of the events stays below, the share on a scale on which each nine is as
//! wide as the one before.

use std::path::Path;

use hdrhistogram::Histogram;
use plotters::prelude::*;

use super::error::LoadError;
use super::table::NS_PER_MS;

/// The size of the picture.
const SIZE: (u32, u32) = (1_000, 600);

/// Where the curves end: 99.999 %, five nines.
const NINES_MAX: f64 = 5.0;

/// Points of a curve.
const POINTS: u32 = 400;

/// Draws a curve for each histogram that has something in it.
pub fn draw(path: &Path, curves: &[(String, Histogram<u64>)]) -> Result<(), LoadError> {
    let svg = svg(curves).map_err(|reason| LoadError::Plot { path: path.to_owned(), reason })?;
    std::fs::write(path, svg).map_err(LoadError::write(path))
}

/// The picture.
fn svg(curves: &[(String, Histogram<u64>)]) -> Result<String, String> {
    let mut text = String::new();
    let curves: Vec<_> = curves.iter().filter(|(_, histogram)| !histogram.is_empty()).collect();
    let max_ms = curves.iter().map(|(_, histogram)| histogram.max() as f64 / NS_PER_MS).fold(1.0, f64::max);
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..NINES_MAX, (0.1..max_ms * 1.2).log_scale())
            .map_err(|error| error.to_string())?;
        chart
            .configure_mesh()
            .x_desc("share of events")
            .y_desc("latency, ms")
            .x_label_formatter(&|nines| format!("{} %", share(*nines) * 100.0))
            .x_labels(6)
            .draw()
            .map_err(|error| error.to_string())?;
        for (index, (name, histogram)) in curves.iter().enumerate() {
            let style = Palette99::pick(index).stroke_width(2);
            chart
                .draw_series(LineSeries::new(curve(histogram), style))
                .map_err(|error| error.to_string())?
                .label(name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .draw()
            .map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// The share that so many nines are: 1 is 90 %, 2 is 99 %.
fn share(nines: f64) -> f64 {
    // To seven digits: 99.999 %, and not 99.99899999999999 %.
    ((1.0 - 10f64.powf(-nines)) * 1e7).round() / 1e7
}

/// Where a curve goes; it ends where there is one event left.
fn curve(histogram: &Histogram<u64>) -> impl Iterator<Item = (f64, f64)> {
    let nines_max = (histogram.len() as f64).log10().min(NINES_MAX);
    let points = (0..=POINTS).map(|point| f64::from(point) * NINES_MAX / f64::from(POINTS));
    points.take_while(move |nines| *nines <= nines_max).map(|nines| {
        let ns = histogram.value_at_quantile(1.0 - 10f64.powf(-nines));
        (nines, (ns as f64 / NS_PER_MS).max(0.1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::latency::Total;

    #[test]
    fn a_picture_has_a_curve_for_each_that_has_something() {
        let mut some = Total::new().histogram;
        (1..=1_000u64).for_each(|n| some.record(n * 100_000).unwrap());
        let none = Total::new().histogram;
        let curves = [("delivered@1000".to_owned(), some), ("readable@1000".to_owned(), none)];
        let svg = svg(&curves).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("delivered@1000") && !svg.contains("readable@1000"));
        assert!(svg.contains("99.9 %"), "{svg}");
    }

    #[test]
    fn a_picture_of_nothing_is_one() {
        assert!(svg(&[]).unwrap().starts_with("<svg"));
    }
}
