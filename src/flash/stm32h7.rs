//! STM32H7 embedded flash.
use super::*;
pub struct Stm32H7;
impl FlashDriver for Stm32H7 {
    fn unlock(&self, _: &mut MemAp, _: &Bank) -> Result<()> {
        todo!()
    }
    fn erase(&self, _: &mut MemAp, _: &Bank, _: Erase, _: &Ears) -> Result<()> {
        todo!()
    }
    fn program(&self, _: &mut MemAp, _: &Bank, _: u32, _: &[u8], _: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        todo!()
    }
    fn lock(&self, _: &mut MemAp, _: &Bank) -> Result<()> {
        todo!()
    }
    fn protection(&self, _: &mut MemAp, _: &Bank) -> Result<Vec<bool>> {
        todo!()
    }
    fn describe(&self, _: &mut MemAp, _: &Bank) -> Result<String> {
        todo!()
    }
}
