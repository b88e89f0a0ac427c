use super::*;

#[test]
fn a_plot_has_every_call_in_one_of_its_rows() {
    for spread in [1, 3, 1000] {
        let times = Histogram::new();
        for n in 0..1000_u64 {
            times.record(Duration::from_micros(100 + n * spread));
        }
        let plot = plot(&times);
        let counts: u64 = plot
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().nth(1).and_then(|count| count.parse::<u64>().ok()))
            .sum();
        assert_eq!((plot.lines().count(), counts), (17, 1000), "{plot}");
        assert!(plot.contains(&"#".repeat(50)), "{plot}");
    }
}
