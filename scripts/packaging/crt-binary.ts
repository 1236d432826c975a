/**
 * Where the bundle of the agent finds aws-crt's binary, from its own folder: its modules look for it relative to
 * themselves, and are elsewhere in a bundle. In the place of `$AWS_CRT_NODEJS_BINARY_RELATIVE_PATH`, which aws-crt has for that.
 */
export const crtBinary = `../bin/linux-${process.arch}-glibc/aws-crt-nodejs.node`
