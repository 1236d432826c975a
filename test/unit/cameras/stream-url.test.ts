import fc from 'fast-check'
import { expect, test } from 'vitest'

import { cameraHost, parseStreamUrl, withCredentials, withoutCredentials } from '../../../agent/cameras/stream-url.ts'

test('puts a credential into a URL, with everything encoded but the unreserved characters', () => {
  expect(withCredentials('rtsp://cam-3:8554/live?channel=1', 'admin', `a:b/c?d#e@f%g h!'()*~ü`)).toBe(
    'rtsp://admin:a%3Ab%2Fc%3Fd%23e%40f%25g%20h%21%27%28%29%2A~%C3%BC@cam-3:8554/live?channel=1',
  )
})

test.for([
  ['admin', '', 'rtsp://admin:@cam/1'],
  ['', 'secret', 'rtsp://:secret@cam/1'],
  ['', '', 'rtsp://cam/1'],
])('writes the credential %j and %j as %s', ([username = '', password = '', expected]) => {
  expect(withCredentials('rtsp://cam/1', username, password)).toBe(expected)
})

test('puts a credential in place of the one that a URL holds', () => {
  expect(withCredentials('rtsp://old:p@ss@cam/1', 'new', 'pw')).toBe('rtsp://new:pw@cam/1')
})

test.for([
  ['rtsp://admin:secret@10.0.0.7:554/a@b', 'rtsp://10.0.0.7:554/a@b'],
  ['RTSPS://admin@Cam.Local', 'rtsps://Cam.Local'],
  ['http://:@cam/mjpeg?user=1', 'http://cam/mjpeg?user=1'],
  ['rtsp://a:b@[fe80::1%25eth0]:554/x', 'rtsp://[fe80::1%25eth0]:554/x'],
  [
    'rtsp://cam/user=admin_password=_channel=1.sdp?real_stream',
    'rtsp://cam/user=admin_password=_channel=1.sdp?real_stream',
  ],
  ['', ''],
  ['no URL', 'no URL'],
])('takes user info out of %j', ([url = '', expected]) => {
  expect(withoutCredentials(url)).toBe(expected)
})

test.for([
  ['rtsp://u%40x:p%3A%2F@cam/1', { username: 'u@x', password: 'p:/' }],
  ['rtsp://admin@cam/1', { username: 'admin', password: '' }],
  ['rtsp://admin:100%@cam/1', { username: 'admin', password: '100%' }],
  ['rtsp://admin:a:b@c@cam/1', { username: 'admin', password: 'a:b@c' }],
  ['rtsp://admin:my pass@cam/1', { username: 'admin', password: 'my pass' }],
  ['rtsp://cam/1', undefined],
] as const)('reads the credential of %s', ([url, expected]) => {
  expect(parseStreamUrl(url)?.credentials).toEqual(expected)
})

test.for([
  ['rtsp://admin:secret@Cam-3.Example.:8554/live', 'cam-3.example'],
  ['rtsps://10.0.0.7/1', '10.0.0.7'],
  ['rtsp://[2001:DB8:0:0::1]:554/', '2001:db8::1'],
  [' rtsp://cam:/1\n', 'cam'],
  ['rtsp://[fe80::1%25eth0]/', 'fe80::1%eth0'],
])('knows the camera of %j', ([url = '', expected]) => {
  expect(cameraHost(url)).toBe(expected)
})

test.for([
  '',
  'cam',
  'http://cam/1',
  'rtspu://cam/1',
  'rtsp:///1',
  'rtsp://cam:0/',
  'rtsp://cam:65536/',
  'rtsp://[::g]/',
  'rtsp://[1/',
  'rtsp://a b/',
  'rtsp://admin:pa/ss@cam/',
])('knows no camera of %j', (url) => {
  expect(cameraHost(url)).toBeUndefined()
})

test('gives back every credential that it puts into a URL, and changes nothing else', () => {
  const text = fc.string({ unit: 'grapheme' })
  fc.assert(
    fc.property(text, text, (username, password) => {
      const url = withCredentials('rtsp://cam:8554/live?a=b@c#d', username, password)
      expect(url).toMatch(/^[\x21-\x7e]+$/)
      expect(parseStreamUrl(url)?.credentials ?? { username: '', password: '' }).toEqual({ username, password })
      expect(withoutCredentials(url)).toBe('rtsp://cam:8554/live?a=b@c#d')
    }),
  )
})

test('takes any text for a URL or none without throwing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(withoutCredentials(withoutCredentials(`rtsp://${text}`))).toBe(withoutCredentials(`rtsp://${text}`))
    }),
  )
})
