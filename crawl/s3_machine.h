/* s3_machine - temporary AWS keys from the machine we run on: container agent or EC2 metadata. */
#ifndef SLUICE_CRAWL_S3_MACHINE_H
#define SLUICE_CRAWL_S3_MACHINE_H
#include "crawl/s3_credentials.h"

/* Inside crawl/ only. Asks over HTTP, without proxies or redirects, for at most 5 s in all.
 * container: $AWS_CONTAINER_CREDENTIALS_FULL_URI (plain http only to this machine or to the two
 * addresses ECS and EKS use) or http://169.254.170.2 + $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI;
 * else the EC2 metadata service, version 2 only, at $AWS_EC2_METADATA_SERVICE_ENDPOINT or
 * http://169.254.169.254. Returns 1, or an error that says what failed. */
int s3_machine_keys(struct s3_keys *k, bool container);
bool s3_machine_container(void); /* its variables are set */
#endif
