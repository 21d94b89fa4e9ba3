"""What awsac promises in numbers, measured on the embedded cloud: ``make bench`` prints the tables."""
