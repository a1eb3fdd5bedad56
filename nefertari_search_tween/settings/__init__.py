"""The settings of an application: their table, their values, the connection they describe."""
