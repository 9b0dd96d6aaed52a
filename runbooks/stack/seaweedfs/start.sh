#!/bin/sh
# Starts master, volume, filer and S3 in one process, with the keys from the environment. There is no other volume
# server to which writes could go meanwhile, so stopping does not wait for that.
set -eu

umask 077
cat >/tmp/s3.json <<JSON
{
  "identities": [
    {
      "name": "command_center",
      "credentials": [ { "accessKey": "$S3_ACCESS_KEY", "secretKey": "$S3_SECRET_KEY" } ],
      "actions": [ "Admin", "Read", "List", "Tagging", "Write" ]
    }
  ]
}
JSON
exec weed server -dir=/data -ip=seaweedfs -ip.bind=0.0.0.0 -master.volumeSizeLimitMB=1024 \
    -volume.max=100 -volume.preStopSeconds=1 -filer -s3 -s3.config=/tmp/s3.json -s3.port.iceberg=0 -s3.port.lance=0 -metricsPort=9327
