"""The embedded one-machine cloud: the AWS APIs on loopback, and instances as processes. Knows nothing of AWSAC."""
