#!/usr/bin/env python3
"""Gives each Service of type LoadBalancer an address, which kube-proxy makes answer: lb.py KUBECONFIG PREFIX

Addresses are PREFIX.10 to PREFIX.249. Watches the API server with the standard library alone. spec.loadBalancerIP is
honoured; a Service with a loadBalancerClass is left alone."""
import base64
import http.client
import json
import re
import ssl
import sys
import tempfile
import time
import urllib.parse

KUBECONFIG, PREFIX = sys.argv[1:]
WATCH_SECONDS = 300


class Api:
    """The API server of a kubeconfig with embedded certificates."""

    def __init__(self, path):
        text = open(path).read()

        def field(key):
            return re.search(rf'{key}: (\S+)', text).group(1)

        def file(key):
            pem = tempfile.NamedTemporaryFile(suffix='.pem')
            pem.write(base64.b64decode(field(key)))
            pem.flush()
            return pem

        ca, cert, key = map(file, ('certificate-authority-data', 'client-certificate-data', 'client-key-data'))
        self.tls = ssl.create_default_context(cafile=ca.name)
        self.tls.load_cert_chain(cert.name, key.name)
        self.server = urllib.parse.urlparse(field('server'))

    def call(self, method, path, body=None, timeout=30):
        connection = http.client.HTTPSConnection(
            self.server.hostname, self.server.port, context=self.tls, timeout=timeout)
        headers = {'Content-Type': 'application/merge-patch+json'}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        if answer.status >= 300:
            raise OSError(f'{method} {path}: {answer.status} {answer.read(300)!r}')
        return answer


def key_of(service):
    return service['metadata']['namespace'], service['metadata']['name']


def addresses(service):
    return [i.get('ip') for i in service['status'].get('loadBalancer', {}).get('ingress') or []]


def settle(api, services, service):
    """Writes an address into the status of a Service that waits for one."""
    spec = service['spec']
    if spec.get('type') != 'LoadBalancer' or addresses(service) or spec.get('loadBalancerClass'):
        return
    used = {ip for other in services.values() for ip in addresses(other)}
    ip = spec.get('loadBalancerIP') or next(ip for n in range(10, 250) if (ip := f'{PREFIX}.{n}') not in used)
    namespace, name = key_of(service)
    status = {'status': {'loadBalancer': {'ingress': [{'ip': ip}]}}}
    answer = api.call('PATCH', f'/api/v1/namespaces/{namespace}/services/{name}/status', status)
    services[namespace, name] = json.load(answer)
    print(namespace, name, ip, flush=True)


def follow(api):
    """All services once, then their changes until the watch ends."""
    listed = json.load(api.call('GET', '/api/v1/services'))
    services = {key_of(service): service for service in listed['items']}
    for service in list(services.values()):
        settle(api, services, service)
    version = listed['metadata']['resourceVersion']
    path = f'/api/v1/services?watch=1&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}'
    for line in api.call('GET', path, timeout=WATCH_SECONDS + 30):
        event = json.loads(line)
        service = event['object']
        if event['type'] == 'ERROR':
            return
        if event['type'] == 'DELETED':
            services.pop(key_of(service), None)
        else:
            services[key_of(service)] = service
            settle(api, services, service)


client = Api(KUBECONFIG)
while True:
    try:
        follow(client)
    except Exception as error:  # the server may be restarting: say so and try again
        print(repr(error), flush=True)
        time.sleep(1)
