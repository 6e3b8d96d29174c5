# What istioctl and kubectl have, and this program has not: an answer instead of "unrecognized".
meshctl waypoint list
meshctl x ztunnel-config workloads
meshctl x uninject
meshctl edit vs reviews
meshctl nonsense
