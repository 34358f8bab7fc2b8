"""The whole chain on scikit-learn's digits: owner, suspects behind real HTTP servers, and auditor, on one machine."""
