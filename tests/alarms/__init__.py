"""The alarms as the program declares them, fed with the metrics of incidents."""
