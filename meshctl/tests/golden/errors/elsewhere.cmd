# What istioctl and kubectl have, and this program has not: an answer instead of "unrecognized".
meshctl x describe pod productpage-v1
meshctl dashboard kiali
meshctl edit vs reviews
meshctl nonsense
