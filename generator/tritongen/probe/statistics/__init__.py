"""What measured requests say: histograms, intervals, verdicts, where the time goes."""
