use super::*;

#[test]
fn every_value_lies_in_a_bucket_that_is_fine_enough() {
    let mut last = None;
    for shift in 0..64 {
        for value in
            [1_u64 << shift, (1 << shift) + 1, (1_u64 << shift).wrapping_mul(3) / 2, u64::MAX >> shift]
        {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value}");
            assert!(upper(index) >= value, "{value}");
            assert!(upper(index) - value <= value / 64, "{value} counts as {}", upper(index));
        }
        let index = bucket(1 << shift);
        assert!(last.replace(index).is_none_or(|last| last < index));
    }
}

#[test]
fn quantiles_are_those_of_the_values() {
    let histogram = Histogram::new();
    assert_eq!((histogram.quantile(0.5), histogram.mean()), (Duration::ZERO, Duration::ZERO));
    for micros in 1..=1000 {
        histogram.record(Duration::from_micros(micros));
    }
    for (part, micros) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
        let found = histogram.quantile(part).as_secs_f64() * 1e6;
        assert!((micros..micros * 1.01).contains(&found) || (found - micros).abs() < 0.01, "{part}: {found}");
    }
    assert_eq!(histogram.max(), Duration::from_millis(1));
    assert_eq!((histogram.count(), histogram.mean()), (1000, Duration::from_nanos(500_500)));
    let (early, late) = (Duration::from_micros(250), Duration::from_micros(500));
    let between = histogram.between(early, late);
    assert!((245..=255).contains(&between), "{between}");
    assert_eq!(histogram.between(Duration::ZERO, Duration::from_secs(1)), 1000);
}
