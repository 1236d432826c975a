/** What differs between the machines that packages are made for. */
export interface Platform {
  /** Debian's name of the architecture. */
  readonly architecture: PlatformName
  /** npm's and Node's name of it. */
  readonly cpu: NodeJS.Architecture
  /** GNU's name of it, with which the names of its binutils begin. */
  readonly triplet: string
  /** The Debian package of its binutils. */
  readonly binutils: string
  /** The folder that aws-crt looks for its binary in, below `bin`. */
  readonly crtFolder: string
}

export type PlatformName = 'amd64' | 'arm64'

const platforms: Readonly<Record<PlatformName, Platform>> = {
  amd64: {
    architecture: 'amd64',
    cpu: 'x64',
    triplet: 'x86_64-linux-gnu',
    binutils: 'binutils-x86-64-linux-gnu',
    crtFolder: 'linux-x64-glibc',
  },
  arm64: {
    architecture: 'arm64',
    cpu: 'arm64',
    triplet: 'aarch64-linux-gnu',
    binutils: 'binutils-aarch64-linux-gnu',
    crtFolder: 'linux-arm64-glibc',
  },
}

/** Undefined for a name that is none of a platform. */
export function findPlatform(name: string): Platform | undefined {
  return Object.values(platforms).find(({ architecture }) => architecture === name)
}
