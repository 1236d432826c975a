/** As Semantic Versioning 2.0.0 has it, cut before the pre-release. */
const semanticVersion = /^((?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2})(?:-([0-9A-Za-z.-]+))?(\+[0-9A-Za-z.]+)?$/

/**
 * The version of the package for that of package.json: `1.2.0-rc.1` becomes `1.2.0~rc.1`, because for dpkg a hyphen comes after
 * the end, and `~` before it (deb-version(7)). Throws a RangeError for what is no semantic version.
 */
export function debianVersion(version: string): string {
  const [, release, preRelease, build = ''] = semanticVersion.exec(version) ?? []
  if (release === undefined) throw new RangeError(`"${version}" is no semantic version`)
  return `${release}${preRelease === undefined ? '' : `~${preRelease}`}${build}`
}
