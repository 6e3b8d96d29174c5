meshctl -h
meshctl proxy-config -h
meshctl proxy-config clusters -h
meshctl analyze -h
meshctl x decide -h
