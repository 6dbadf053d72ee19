//! Where an address is: the trait that a database of addresses and countries comes through.

use std::fmt::Debug;
use std::net::IpAddr;

use bytes::Bytes;

/// A database that `@geoLookup` asks, such as a MaxMind file. It is handed in with [`crate::Options::geo`]; a look-up must not block.
pub trait GeoDatabase: Debug + Send + Sync {
    /// What is known about an address, None where it is not listed.
    fn find(&self, address: IpAddr) -> Option<GeoRecord>;
}

/// What is known about an address: the keys of the variable `GEO` (reference manual, "GEO"). A field that is None is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoRecord {
    /// `GEO:COUNTRY_CODE`: two letters, ISO 3166-1.
    pub country_code: Option<String>,
    /// `GEO:COUNTRY_CODE3`: three letters.
    pub country_code3: Option<String>,
    /// `GEO:COUNTRY_NAME`: in English.
    pub country_name: Option<String>,
    /// `GEO:COUNTRY_CONTINENT`: two letters, such as `EU`.
    pub country_continent: Option<String>,
    /// `GEO:REGION`: the subdivision's code, ISO 3166-2 without the country.
    pub region: Option<String>,
    /// `GEO:CITY`: in English.
    pub city: Option<String>,
    /// `GEO:POSTAL_CODE`
    pub postal_code: Option<String>,
    /// `GEO:LATITUDE`: degrees, north is positive.
    pub latitude: Option<String>,
    /// `GEO:LONGITUDE`: degrees, east is positive.
    pub longitude: Option<String>,
    /// `GEO:DMA_CODE`: metropolitan area, in the United States only.
    pub dma_code: Option<String>,
    /// `GEO:AREA_CODE`: telephone area code, in the United States only.
    pub area_code: Option<String>,
}

impl GeoRecord {
    /// The fields that are set, by the keys of `GEO`.
    pub(crate) fn into_fields(self) -> impl Iterator<Item = (&'static str, Bytes)> {
        let fields = [
            ("COUNTRY_CODE", self.country_code),
            ("COUNTRY_CODE3", self.country_code3),
            ("COUNTRY_NAME", self.country_name),
            ("COUNTRY_CONTINENT", self.country_continent),
            ("REGION", self.region),
            ("CITY", self.city),
            ("POSTAL_CODE", self.postal_code),
            ("LATITUDE", self.latitude),
            ("LONGITUDE", self.longitude),
            ("DMA_CODE", self.dma_code),
            ("AREA_CODE", self.area_code),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, Bytes::from(value?))))
    }
}
