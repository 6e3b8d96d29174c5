meshctl analyze
meshctl analyze --mesh other
