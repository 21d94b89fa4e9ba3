"""IAM as the embedded cloud enforces it: who asks, what rights a call needs, and what the policies say of that.

moto has an enforcement of its own, which knows neither SimpleDB's signatures nor the tags, names and conditions that
policies are limited by, so this one stands before moto. It evaluates the policies of users, their groups and roles, as
the account's own IAM back end has them at that moment. It does not evaluate policies of buckets, permissions
boundaries, session policies or those of organizations.
"""
