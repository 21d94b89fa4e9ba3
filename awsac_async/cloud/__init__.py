"""The AWS services, as AWSAC uses them. The only room that imports aioboto3, botocore and obstore."""
