/** Where an update takes place; only tests name anything but the real thing. */
export interface UpdatePlaces {
  /** Root's own folder: see update-folder.ts. */
  readonly folder: string
  /** `<state>/artifacts`, the agent's. */
  readonly artifacts: string
  /** Where the package has its programs. */
  readonly programs: string
  /** Where an administrator puts units. */
  readonly units: string
  /** Where the bare files of a package go as the last resort. */
  readonly root: string
  /** What dpkg keeps of packages: their maintainer scripts are in its `info/`. */
  readonly dpkgFolder: string
  readonly dpkg: string
  readonly dpkgDeb: string
  readonly dpkgQuery: string
}

export const realUpdatePlaces: UpdatePlaces = {
  folder: '/var/lib/panorama-agent-update',
  artifacts: '/var/lib/panorama-agent/artifacts',
  programs: '/usr/lib/panorama-agent',
  units: '/etc/systemd/system',
  root: '/',
  dpkgFolder: '/var/lib/dpkg',
  dpkg: 'dpkg',
  dpkgDeb: 'dpkg-deb',
  dpkgQuery: 'dpkg-query',
}
