meshctl proxy-status
meshctl ps --mesh other
