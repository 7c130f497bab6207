/* s3_env - an environment for tests of s3://, in which only what a test sets stands. */
#ifndef SLUICE_TESTS_S3_ENV_H
#define SLUICE_TESTS_S3_ENV_H
#include "tests/test.h"

#include "core/log.h"

/* Nothing of the machine's own AWS settings may reach a test. */
static inline void clean_environment(void)
{
    static const char *const name[] = {"AWS_ACCESS_KEY_ID",
                                       "AWS_SECRET_ACCESS_KEY",
                                       "AWS_SESSION_TOKEN",
                                       "AWS_PROFILE",
                                       "AWS_REGION",
                                       "AWS_DEFAULT_REGION",
                                       "AWS_ENDPOINT_URL",
                                       "AWS_ENDPOINT_URL_S3",
                                       "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                       "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                       "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                       "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                       "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                       "http_proxy",
                                       "https_proxy",
                                       "all_proxy"};
    log_open(LOG_QUIET);
    for (size_t i = 0; i < COUNT_OF(name); i++)
        unsetenv(name[i]);
    setenv("AWS_SHARED_CREDENTIALS_FILE", test_path("aws-credentials"), 1);
    setenv("AWS_CONFIG_FILE", test_path("aws-config"), 1);
    setenv("HOME", test_dir(), 1);
}
#endif
